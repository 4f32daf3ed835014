"""What a method learns from: episodes, the replay memory, running moments, random streams, evaluation."""

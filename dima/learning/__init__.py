"""How a method learns: learners, their compute settings, compiled parts and CUDA graphs."""

"""What follows from the returns: samples, statistics, scores, curves and verdicts, in numbers."""

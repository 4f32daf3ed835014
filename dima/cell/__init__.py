"""One cell of a grid: its run, attempts, lock and checkpoints."""

"""Stand-in for the old gym."""

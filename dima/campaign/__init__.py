"""Operating a grid: what would run and how long it takes, how far its cells are, what they take on the disk,
and packing them.
"""

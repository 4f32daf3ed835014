"""Operating a grid: its plan, the progress of its cells, their disk use, and packing them."""

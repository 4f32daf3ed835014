"""From recorded cells to tables and figures beside the paper's numbers.

Reads files only and imports no torch, environment or method.

From below: `records` (what cells left), `returns` and `studies` (what follows from it, in numbers), `tables`,
    `figures` and `report`.
"""

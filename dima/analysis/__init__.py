"""From the records of cells to tables, figures and a report; imports no torch, environment or method.

`records` reads cells, `returns` and `studies` compute numbers from them, `results` has all of these, and
`tables`, `figures` and `report` show them.
"""

from recorded_cells import _in_the_repository, make_grid, make_summary, results, write_cell, write_status  # noqa: F401

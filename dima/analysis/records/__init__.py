"""Reading what the cells of a grid left behind: in folders, archives or the database."""

"""Reading the records of a grid's cells from folders, archives or the database."""

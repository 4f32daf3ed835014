"""Records in MongoDB, as Sacred lays them out."""

"""Apptainer images that cells run in: their recipes, digests and environment."""

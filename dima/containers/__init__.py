"""Apptainer images that cells run in: what they are made from, their digests, and what they let through."""

"""A user's own checkout of HARL or MARIE, run by its own program.

Unmodified, from a private copy, its results collected.
"""

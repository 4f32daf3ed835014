"""A user's unmodified checkout of HARL or MARIE, run by its own program from a private copy."""

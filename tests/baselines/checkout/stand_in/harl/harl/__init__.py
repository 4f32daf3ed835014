"""Stands in for HARL."""

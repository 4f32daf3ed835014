"""Stands in for MARIE's configurations."""

"""Figures as PDF, PNG and SVG."""

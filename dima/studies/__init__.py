"""Evaluations of a trained world model.

How well it predicts, whose actions it heeds, how it is calibrated.
"""

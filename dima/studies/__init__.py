"""Evaluations of a trained world model: how well it predicts, whose actions it heeds, how it is calibrated."""

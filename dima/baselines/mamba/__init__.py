"""MAMBA on continuous actions, native.

A recurrent world model of discrete latent states with attention over the agents.
"""

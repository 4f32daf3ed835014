"""MARIE in PyTorch: observations as tokens, one causal transformer for all agents, a Perceiver between them
(docs/baselines.md#marie).
"""

"""MARIE in PyTorch: observations as tokens, one causal transformer for every agent, a Perceiver between them (baselines.md 2.6)."""

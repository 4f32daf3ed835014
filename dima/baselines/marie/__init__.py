"""MARIE: observations as tokens, a causal transformer, a Perceiver over agents (docs/baselines.md#marie)."""

"""DIMA: diffusion-inspired multi-agent world models, their training, and the evidence about them."""

__version__ = "0.1.0"

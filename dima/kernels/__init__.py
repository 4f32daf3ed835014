"""Triton kernels. Only `tables` may be imported where Triton is not installed."""

"""Triton kernels. Only `tables` may be imported where Triton is not installed.

Nothing else here is imported before a kernel is used.
"""

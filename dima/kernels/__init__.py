"""Triton kernels. Only `tables` may be imported where Triton is not installed; nothing else here is imported before a kernel is used."""

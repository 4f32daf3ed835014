"""The denoiser's network (read, U-Net, write) as one Triton kernel for a tile of rows, and its gradients as
two.
"""

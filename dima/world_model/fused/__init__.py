"""The denoiser's network (read, U-Net, write) as one Triton kernel, and its gradients as two."""

"""Traced functions: a formula in array code becomes operations, with their gradients, loops and CUDA kernels."""

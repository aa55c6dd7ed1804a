"""Fused operations, one per file: the formula in array code, as a loop for Numba, and in CUDA beside it."""

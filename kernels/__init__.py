"""Operations, one per file: a reference in array code, a loop for Numba, and a CUDA kernel in a ``.cu`` file."""

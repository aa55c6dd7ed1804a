"""Gearshift trains neural networks on arrays: NumPy, Numba or CuPy, chosen by configuration."""
__version__ = "0.1.0"

"""Sums, concatenation, slices and matrix products of arrays."""

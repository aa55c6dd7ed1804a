"""Sums, joins, splits and matrix products of arrays."""

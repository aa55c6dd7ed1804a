"""Optimizer updates, and operations on gradients before them."""

"""Optimizers' updates, and what changes gradients before them."""

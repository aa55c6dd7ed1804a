"""Penalties on activations and weights."""

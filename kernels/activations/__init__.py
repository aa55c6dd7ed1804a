"""Activations, with and without a bias."""

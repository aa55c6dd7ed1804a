"""Activation functions, with and without a bias."""

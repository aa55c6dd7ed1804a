"""Normalisation operations."""

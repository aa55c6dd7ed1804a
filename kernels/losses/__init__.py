"""Losses, sample weights and additional loss terms."""

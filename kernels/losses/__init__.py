"""Losses, sample weights and terms of the loss."""

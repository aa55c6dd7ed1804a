"""The compiled training loop of a plain MLP."""

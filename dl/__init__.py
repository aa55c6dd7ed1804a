"""Training: layers, losses, optimizers, data, and the loop that runs planned steps."""

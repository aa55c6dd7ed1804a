"""Training: the trainer, its loop, callbacks, history, checkpoints and progress."""

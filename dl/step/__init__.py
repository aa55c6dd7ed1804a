"""One training step: what it is made of, lowered, bound to a backend, and run over rows."""

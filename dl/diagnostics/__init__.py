"""Diagnostics of the optimisation: gradient checks, curvature, noise, and callbacks that watch a training."""

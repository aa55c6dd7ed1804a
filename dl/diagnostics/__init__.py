"""Looking at the optimisation: checks of gradients, curvature, noise, and callbacks that watch a training."""

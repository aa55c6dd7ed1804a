"""The commands of `gearshift` that train or use a trained network, one per file."""

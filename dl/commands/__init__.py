"""The commands of `gearshift` that train and ask a trained network, each in a file of its name."""

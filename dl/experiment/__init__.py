"""From a TOML file to a run: configuration, data and trainer, run directory, search."""

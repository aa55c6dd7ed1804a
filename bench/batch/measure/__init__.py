"""Measurements: everything here needs a machine."""

"""Gearshift's CPU training beside its rivals': same work, processes of their own, rounds interleaved."""

"""Compares Gearshift's CPU training with other libraries: same work, separate processes, interleaved rounds."""

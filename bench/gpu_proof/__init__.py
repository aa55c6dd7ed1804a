"""Proves the GPU path on a GPU, in parts of a few minutes: `python -m gearshift.bench.gpu_proof --out DIR`."""

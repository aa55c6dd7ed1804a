"""Throughput against batch size; `suites/` holds the pytest-benchmark cases."""

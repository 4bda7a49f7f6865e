"""Measures the dashboard over a large ledger: `make bench-pages`."""

"""Benchmark protocols as TOML files, and numbers published elsewhere."""

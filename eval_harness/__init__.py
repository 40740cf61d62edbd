"""Benchmarks of what is served."""

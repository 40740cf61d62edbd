"""Benchmarks as data: what is asked, and how an answer becomes a program."""

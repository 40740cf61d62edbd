"""Recorded segments on their way to a collector: a process of its own, one a machine."""

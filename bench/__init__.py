"""Measurements, and the demo: how fast and how good what we ship is."""

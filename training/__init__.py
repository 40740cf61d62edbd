"""From source code to a released model."""

"""A page that tells what was recorded, how much to trust it, and what experiments decided."""

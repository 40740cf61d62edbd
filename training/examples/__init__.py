"""Documents to packed fill-in-the-middle rows."""

"""What is measured: a definition each, in one SQL file, and the questions asked of it."""

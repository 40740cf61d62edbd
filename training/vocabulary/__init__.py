"""Code vocabulary: training and measurement."""

"""What questions to a large warehouse cost."""

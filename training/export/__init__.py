"""Release formats of a trained model."""

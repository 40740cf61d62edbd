"""Experiments: planning them, checking that their data can be trusted, and what they say."""

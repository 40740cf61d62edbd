"""The page that compares vocabularies."""

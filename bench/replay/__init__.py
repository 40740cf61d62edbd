"""Real edits, turned into keys and typed again."""

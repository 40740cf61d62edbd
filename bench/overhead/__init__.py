"""What the language server adds to the backend's own time."""

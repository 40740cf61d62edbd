"""The language server and its engines."""

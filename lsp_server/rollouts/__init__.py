"""Signed rules that say which model a user gets: signatures, the file, the session."""

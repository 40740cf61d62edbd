"""Runs for people: a table, a page, a JSON document, a database."""

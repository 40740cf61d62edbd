"""Preferences by execution: a project's own tests say which of a model's texts are right."""

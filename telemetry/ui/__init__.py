"""Notebooks over the views, served to a browser of this machine."""

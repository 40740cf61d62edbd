"""What pages that explain a result share: template, style, plots.

Jinja2 and matplotlib are imported where they are used; who writes pages brings them in an extra.
"""

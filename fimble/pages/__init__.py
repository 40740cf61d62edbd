"""What pages that explain a result share: template, style, plots.

Jinja2 and matplotlib are imported where they are used; an extra of whoever writes pages brings them.
"""

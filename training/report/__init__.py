"""What pages that explain a result share: template, style, plots."""

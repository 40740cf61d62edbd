"""Code of other files for prompts: found, indexed and chosen in the background."""

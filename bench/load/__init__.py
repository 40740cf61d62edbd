"""Many users who type at once: what a server makes of them, and how many it carries."""

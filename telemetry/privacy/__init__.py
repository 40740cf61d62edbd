"""What is shown to users of their own data, and how it is forgotten."""

"""Cost of building a corpus: by stage, against datatrove, and memory by size of the input."""

"""Ghost text in front of your eyes: real editor sessions that type in files no model has seen."""

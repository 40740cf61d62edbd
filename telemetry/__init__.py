"""From recorded events to answers."""

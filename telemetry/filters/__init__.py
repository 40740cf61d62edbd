"""The show/hide filter: learnt from what users accepted, and checked against it."""

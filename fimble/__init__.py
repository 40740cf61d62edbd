"""What the four parts share: the agreements at the seams of the loop."""

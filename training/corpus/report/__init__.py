"""The x-ray of a corpus: one self-contained page for the engineer who decides whether to train."""

"""What training costs: speed against a naive loop, memory against the size of the corpus."""

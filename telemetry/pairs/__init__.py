"""From consented suggestions to examples for preference tuning."""

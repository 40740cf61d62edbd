"""From a pretrained model to one that does what is asked: instruction data, tuning, gates."""

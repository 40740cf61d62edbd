"""`fimble loop`: every stage of the product in turn, from sources to what people take."""

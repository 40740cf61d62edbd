"""The company's end of the spool: takes segments from many machines, and merges them."""

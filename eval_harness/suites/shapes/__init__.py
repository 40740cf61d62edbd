"""One file for each format of benchmark records: a record becomes a problem."""

"""Source code to clean Parquet."""

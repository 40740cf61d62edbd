"""Relations between files: one SQL file a question, in the subset that DuckDB and Spark share."""

"""One SQL file a metric."""

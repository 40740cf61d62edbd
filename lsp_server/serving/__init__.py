"""TGI's HTTP API around the embedded engine."""

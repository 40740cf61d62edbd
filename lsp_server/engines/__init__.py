"""What answers a prompt: TGI over HTTP, or the embedded engine."""

"""What answers besides the engines of the language server: OpenAI's API, transformers."""

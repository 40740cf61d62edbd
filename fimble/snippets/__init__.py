"""Code of other files for a prompt: which of it, how much, and in which order.

Training, serving and evaluation choose snippets here, so that a model is asked with what it was
trained with. Nothing is read from disk and nothing is executed: callers put texts in.
"""

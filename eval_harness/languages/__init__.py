"""One file a language: how a program is compiled, run and judged."""

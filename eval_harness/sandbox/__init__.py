"""Where programs of a model run: isolated, limited, and killed whole."""

"""A small GPT, its text and its training. Knows nothing of the harness that sweeps over it."""

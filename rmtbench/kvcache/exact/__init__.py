"""Attention over a context that was read once: what it answers is what the model answers without a cache."""

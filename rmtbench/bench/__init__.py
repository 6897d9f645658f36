"""Benches that users run: each times one method beside the naive one, or measures a memory or an index."""

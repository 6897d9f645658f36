"""Benches that users run: each times one promise beside the naive way, or measures a memory or an index."""

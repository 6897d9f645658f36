"""Benches: each times one promise of the suite beside the naive way, in the same process."""

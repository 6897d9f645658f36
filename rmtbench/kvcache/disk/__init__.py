"""Caches on disk: found by everything that decides their bytes, and checked before every use."""

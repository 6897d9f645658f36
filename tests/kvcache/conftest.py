"""Puts this folder on the import path, so that the tests of each room find `stored_caches`."""

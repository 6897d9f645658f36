"""Chunks and the indexes over them. Knows no language model, system or metric."""

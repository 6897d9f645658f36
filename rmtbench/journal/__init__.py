"""A run on disk: the only thing that running, scoring and reporting share. Knows no model, system or metric."""

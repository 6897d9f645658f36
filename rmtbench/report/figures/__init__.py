"""Figures of whatever a report holds, each made only where the runs have what it shows. matplotlib is loaded on use."""

FOLDER = "figures"
"""Where they lie in the report's folder."""

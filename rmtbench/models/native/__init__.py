"""Decode steps of few rows in compiled code, for CPUs whose machine has a C++ compiler."""

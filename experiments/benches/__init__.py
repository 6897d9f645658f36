"""Benches of the workshop: each holds a promise of the suite against measurement. `python -m experiments.benches`."""

"""Training of the mini model that the package ships. `python -m experiments.training`."""

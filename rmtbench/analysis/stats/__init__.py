"""How sure the figures are: errors, intervals and tests for answers that share contexts. NumPy and SciPy only."""

"""Experiments: files of runs, and the workshop of the suite itself. None of it is in the wheel."""

"""Tables from whatever runs a results folder holds. Runs without torch; recomputes no answer and no score."""

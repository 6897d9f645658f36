"""The run loop: load, prepare, answer, append. Knows no system by name and no terminal."""

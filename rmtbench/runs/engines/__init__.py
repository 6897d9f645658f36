"""Engines: workers that share the draws of a command, while one process keeps the journals."""

"""Metrics over answers and gold, made from the journal and remade at will. Never imports systems or runs."""

"""Caches that differ from the model's own: in few bits, or put together of their documents' caches."""

"""Models and embedders behind an OpenAI-compatible server, through the official client. Knows texts and usage."""

"""The systems compared: thin adapters that bring context to the model, each in its own way. They know no files."""

"""Where documents and questions come from. Knows file formats; knows no model (a token counter is passed in)."""

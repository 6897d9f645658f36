"""What others have published, as data with its source: set beside what was measured, never in its place."""

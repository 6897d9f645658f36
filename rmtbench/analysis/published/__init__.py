"""What others have published, as data files with their sources: set beside what was measured, never in its place."""

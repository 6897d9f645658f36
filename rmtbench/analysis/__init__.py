"""What runs on disk say: figures of a run, what may be compared, how sure a difference is, and what to use."""

"""Training: one loop for every objective, interruptible at any step without a trace in the result."""

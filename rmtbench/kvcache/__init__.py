"""One context's key-value cache, made once and read for every question. Knows no data set, system or metric."""

"""Models: loading, prompting, decoding, embedding. Knows no data set, system or metric."""

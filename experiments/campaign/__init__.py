"""Faults on purpose: commands are killed, starved of disk, given bad clocks and bad input, and must lose nothing."""

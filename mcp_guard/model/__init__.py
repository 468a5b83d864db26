"""Values only: no I/O, no clock, nothing of ours below this package."""

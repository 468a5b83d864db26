"""The interpreter's settings for a process that serves for long."""

import gc

THRESHOLDS = (10_000, 20, 50)
"""A call makes a few hundred objects and drops them: at Python's own 700 the collector runs every few calls, and on a
guard nearly all it looks at is what start-up loaded."""


def settle() -> None:
    """What is loaded by now stays for good: the garbage collector need not look at it again, nor run as often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)

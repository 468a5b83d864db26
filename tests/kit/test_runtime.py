"""What a serving process asks of the interpreter."""

import gc

from mcp_guard.kit.runtime import THRESHOLDS, settle


def test_what_is_loaded_is_left_alone_by_the_collector() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        settle()
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > frozen + 1000
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)

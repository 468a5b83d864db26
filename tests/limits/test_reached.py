"""What somebody is told of a limit reads as a sentence."""

import pytest

from mcp_guard.limits.reached import Reached
from mcp_guard.model.limit import Limit


@pytest.mark.parametrize(("most", "often"), [(1, "once"), (5, "5 times")])
def test_a_repetition_is_counted_in_words(most: int, often: str) -> None:
    reached = Reached(Limit("repeat", most, "600", source="tool:x"), 1_000_000)
    assert f"exactly this call was made {often} in 10 minutes" in reached.refusal("why").message

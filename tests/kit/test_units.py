"""Durations and sizes as people write them."""

import pytest

from mcp_guard.kit.units import seconds, size


def test_values() -> None:
    assert [seconds(text) for text in ("200ms", "10s", "5m", "4h", "2d")] == [0.2, 10, 300, 14400, 172800]
    assert [size(text) for text in ("1B", "64KiB", "1MB")] == [1, 65536, 1_000_000]


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1.5s", "10 s", "10s\n", "9999999999s", "1y", "١s"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(text)
    with pytest.raises(ValueError, match="size"):
        size(text)

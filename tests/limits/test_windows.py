"""Calendar windows and the pace of calls, as values."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.kit.clock import as_datetime
from mcp_guard.limits import windows
from mcp_guard.model.limit import Limit
from mcp_guard.model.limit_text import PERIODS

MOMENTS = st.integers(0, 4_000_000_000_000_000)


def _us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("calendar", "moment", "ends"),
    [
        ("day", "2026-11-27 00:00", "2026-11-28 00:00"),
        ("day", "2024-02-28 23:59", "2024-02-29 00:00"),
        ("month", "2026-12-31 23:59", "2027-01-01 00:00"),
        ("month", "2024-02-01 00:00", "2024-03-01 00:00"),
    ],
)
def test_a_window_ends_where_the_calendar_says(calendar: str, moment: str, ends: str) -> None:
    assert windows.ends_at(calendar, windows.number(calendar, _us(moment))) == _us(ends)


@given(st.sampled_from(["day", "month"]), MOMENTS)
def test_windows_join_without_gap(calendar: str, now: int) -> None:
    window = windows.number(calendar, now)
    end = windows.ends_at(calendar, window)
    assert windows.ends_at(calendar, window - 1) <= now < end
    assert windows.number(calendar, end) == window + 1
    assert as_datetime(end).hour == as_datetime(end).minute == 0


RATES = st.builds(
    lambda most, window: Limit("rate", most, window), st.integers(1, 2000), st.sampled_from(sorted(PERIODS))
)


@given(RATES, st.lists(st.integers(0, 90_000_000), min_size=1, max_size=120))
def test_a_rate_lets_through_what_it_says(limit: Limit, steps: list[int]) -> None:
    """At once as many as it says, and over any time no more than that and what comes free meanwhile."""
    now, free_at = 1_700_000_000_000_000, None
    admitted: list[int] = []
    for step in steps:
        now += step
        after = windows.next_free(free_at, now, limit)
        if after - now <= windows.room(limit):
            free_at = after
            admitted.append(now)
    every = windows.interval(limit)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= limit.most + (admitted[last] - start) // every
    assert len(admitted) >= min(limit.most, len(steps)), "a fresh rate has room for all it says"


@given(RATES, st.integers(1, 10**15))
def test_a_clock_set_back_finds_the_rate_used_and_no_more(limit: Limit, back: int) -> None:
    now = 1_700_000_000_000_000
    free_at = now + windows.room(limit)
    after = windows.next_free(free_at, now - back, limit)
    wait = after - (now - back) - windows.room(limit)
    assert wait == windows.interval(limit), "one call after one interval, as at any time"

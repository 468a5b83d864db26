"""Calendar windows in UTC, as numbers that only grow, and the rate at which calls may follow each other."""

from datetime import UTC, datetime

from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.limit import Limit
from mcp_guard.model.limit_text import PERIODS

DAY_US = 86_400_000_000


def number(calendar: str, now_us: int) -> int:
    """Which day or month a moment lies in."""
    if calendar == "day":
        return now_us // DAY_US
    moment = as_datetime(now_us)
    return moment.year * 12 + moment.month - 1


def ends_at(calendar: str, window: int) -> int:
    """When a window is over (unix µs)."""
    if calendar == "day":
        return (window + 1) * DAY_US
    year, month = divmod(window + 1, 12)
    return int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


def interval(limit: Limit) -> int:
    """Microseconds from one call to the next when a rate is fully used. Rounded up: never more than was written."""
    return -(-PERIODS[limit.window] * 1_000_000 // limit.most)


def next_free(free_at: int | None, now_us: int, limit: Limit) -> int:
    """When a rate is unused again after one more call; GCRA (ITU-T I.371) with room for `most` calls at once.

    The call may not be made where that is further off than `room`. A clock that was set back finds the rate fully used,
    and no more than that.
    """
    used_from = now_us if free_at is None else max(now_us, min(free_at, now_us + room(limit)))
    return used_from + interval(limit)


def room(limit: Limit) -> int:
    """Microseconds ahead of time that a rate may be used at most."""
    return interval(limit) * limit.most

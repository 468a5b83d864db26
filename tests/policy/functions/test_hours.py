"""`hours`: a timetable on the wall clock of a zone."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.policy.functions.hours import bind_hours, hours


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("moment", "spec", "zone", "open_"),
    [
        ("2026-01-05T09:00:00Z", "Mon-Fri 09:00-17:00", "UTC", True),
        ("2026-01-05T08:59:59Z", "Mon-Fri 09:00-17:00", "UTC", False),
        ("2026-01-05T17:00:00Z", "Mon-Fri 09:00-17:00", "UTC", False),
        ("2026-01-10T12:00:00Z", "Mon-Fri 09:00-17:00", "UTC", False),
        ("2026-01-10T10:30:00Z", "Mon-Fri 09:00-17:00; Sat 10:00-12:00", "UTC", True),
        ("2026-01-07T12:00:00Z", "mon,wed,fri 09:00-17:00", "UTC", True),
        ("2026-01-06T12:00:00Z", "mon,wed,fri 09:00-17:00", "UTC", False),
        ("2026-01-11T12:00:00Z", "Sat-Mon 00:00-24:00", "UTC", True),
        ("2026-01-06T05:00:00Z", "Mon 22:00-06:00", "UTC", True),
        ("2026-01-05T05:00:00Z", "Mon 22:00-06:00", "UTC", False),
        ("2026-01-12T01:00:00Z", "Sun 22:00-06:00", "UTC", True),
        ("2026-01-05T16:30:00Z", "Mon-Fri 09:00-17:00", "Europe/Berlin", False),
        ("2026-01-05T08:30:00Z", "Mon-Fri 09:00-17:00", "Europe/Berlin", True),
        ("2026-07-06T07:30:00Z", "Mon-Fri 09:00-17:00", "Europe/Berlin", True),
        ("2026-07-06T15:30:00Z", "Mon-Fri 09:00-17:00", "Europe/Berlin", False),
    ],
)
def test_timetable(moment: str, spec: str, zone: str, open_: bool) -> None:
    assert hours(at(moment), spec, zone) is open_


@pytest.mark.parametrize(
    "spec",
    ["", "Mon", "09:00-17:00", "Mon 9-17", "Mon 09:00-09:00", "Mon 24:00-01:00", "Mon 09:60-10:00", "Mon 25:00-26:00",
     "Moon 09:00-17:00", "Mon- 09:00-17:00", "Mon 09:00-17:00;", "Mon ٠٩:٠٠-١٧:٠٠"],
)  # fmt: skip
def test_what_is_no_timetable(spec: str) -> None:
    with pytest.raises(ValueError):
        bind_hours(spec)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "Europe", "a\x00b"])
def test_what_is_no_zone(zone: str) -> None:
    with pytest.raises(ValueError, match="zone"):
        bind_hours("Mon 09:00-17:00", zone)


@pytest.mark.parametrize("now", [None, True, "12:00", [1]])
def test_other_types_fail(now: object) -> None:
    with pytest.raises(TypeError):
        hours(now, "Mon 09:00-17:00")


@given(st.integers(0, 4_102_444_800))
@settings(deadline=None, max_examples=200)
def test_a_timetable_and_its_complement_share_no_moment(now: int) -> None:
    day = hours(now, "Mon-Sun 06:00-22:00")
    night = hours(now, "Mon-Sun 22:00-06:00")
    assert day is not night
    assert day is (6 <= datetime.fromtimestamp(now, UTC).hour < 22)

"""`hours(now, spec, zone)`: whether a moment lies in a weekly timetable."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import lru_cache

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60
_WINDOW = re.compile(r"([A-Za-z, -]+) ([0-9]{2}):([0-9]{2}) ?- ?([0-9]{2}):([0-9]{2})")
_USAGE = "a timetable reads Mon-Fri 09:00-17:00; several are separated by `;`"

Timetable = tuple[tuple[tuple[int, int], ...], ...]  # for each weekday, the open minutes as [from, until)


def hours(now: object, spec: object, zone: object = "UTC") -> bool:
    """Whether unix time `now` (seconds) lies in the timetable `spec`, read on the wall clock of `zone` (IANA name).

    `Mon-Fri 09:00-17:00; Sat 10:00-12:00`. The end is not included; 24:00 is midnight. A window whose end is not after
    its start runs into the next day. Windows systems need the `tzdata` package for zones other than UTC.
    """
    if type(spec) is not str or type(zone) is not str:
        raise TypeError("hours wants a time and texts")
    return bind_hours(spec, zone)(now)


@lru_cache(256)
def bind_hours(spec: str, zone: str = "UTC") -> Callable[[object], bool]:
    """`hours` for a fixed timetable. Raises `ValueError` where timetable or zone cannot be understood."""
    table, place = _timetable(spec), _zone(zone)

    def judge(now: object) -> bool:
        if type(now) is not int and type(now) is not float:
            raise TypeError("hours wants a time in seconds")
        local = datetime.fromtimestamp(now, place)
        minute = local.hour * 60 + local.minute
        return any(start <= minute < end for start, end in table[local.weekday()])

    return judge


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise ValueError("not a known time zone; use an IANA name such as Europe/Berlin, or UTC") from None


def _timetable(spec: str) -> Timetable:
    table: list[list[tuple[int, int]]] = [[] for _ in _DAYS]
    for window in spec.split(";"):
        match = _WINDOW.fullmatch(" ".join(window.split()))
        if match is None:
            raise ValueError(_USAGE)
        start, end = _minute(match[2], match[3]), _minute(match[4], match[5])
        if start in (end, _DAY):
            raise ValueError("a timetable's window has a start and a later, different end")
        for day in _days(match[1]):
            if start < end:
                table[day].append((start, end))
            else:
                table[day].append((start, _DAY))
                table[(day + 1) % 7].append((0, end))
    return tuple(tuple(windows) for windows in table)


def _minute(hour: str, minute: str) -> int:
    value = int(hour) * 60 + int(minute)
    if int(minute) > 59 or value > _DAY:
        raise ValueError("a time of day lies between 00:00 and 24:00")
    return value


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = (word.strip().lower() for word in part.partition("-"))
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError("weekdays are Mon Tue Wed Thu Fri Sat Sun")
        start = _DAYS.index(first)
        length = (_DAYS.index(last) - start) % 7 + 1 if dash else 1
        found.extend((start + step) % 7 for step in range(length))
    return found

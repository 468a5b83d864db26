"""Durations and sizes as people write them: `200ms`, `10s`, `5m`, `4h`, `2d`; `64KiB`, `1MB`."""

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GB": 1000**3, "GiB": 1024**3}

DURATION_PATTERN = r"^[0-9]{1,9}(ms|s|m|h|d)$"
SIZE_PATTERN = r"^[0-9]{1,9}(B|KB|KiB|MB|MiB|GB|GiB)$"

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)


def seconds(text: str) -> float:
    """Seconds of a duration. Raises `ValueError` saying what is expected."""
    match = _DURATION.match(text)
    if match is None or text.endswith("\n"):
        raise ValueError("expected a duration such as 200ms, 10s, 5m, 4h or 2d")
    unit = match.group(1)
    return int(text.removesuffix(unit)) * _SECONDS[unit]


def size(text: str) -> int:
    """Bytes of a size. Raises `ValueError` saying what is expected."""
    match = _SIZE.match(text)
    if match is None or text.endswith("\n"):
        raise ValueError("expected a size such as 64KiB or 1MB")
    unit = match.group(1)
    return int(text.removesuffix(unit)) * _BYTES[unit]

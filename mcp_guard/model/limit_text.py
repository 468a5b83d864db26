"""Limits as people write them: `30/minute/who`, `500usd/day/tenant`, `4/who`."""

import re
from decimal import Decimal

from mcp_guard.model.limit import CALENDAR, CALLS, EACH, MILLION, MOST, Each, Limit

PERIODS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
"""Seconds of what a rate is said in."""
MOST_CALLS = 1_000_000_000

COUNT_PATTERN = r"[1-9][0-9]{0,9}"
UNIT_PATTERN = r"[a-z][a-z_]{0,15}"
RATE_PATTERN = rf"^{COUNT_PATTERN}/(second|minute|hour|day)(/(who|via|tenant|tool|all))?$"
QUOTA_PATTERN = rf"^{COUNT_PATTERN}/(day|month)(/(who|via|tenant|tool|all))?$"
BUDGET_PATTERN = rf"^[0-9]{{1,10}}(\.[0-9]{{1,6}})?{UNIT_PATTERN}/(day|month)(/(who|via|tenant|tool|all))?$"

_COUNT = re.compile(COUNT_PATTERN)
_AMOUNT = re.compile(rf"([0-9]{{1,10}}(?:\.[0-9]{{1,6}})?)({UNIT_PATTERN})")


def rate(text: str, each: Each | None = None) -> Limit:
    """`30/minute/who`. Without `each` the last part is needed. Raises `ValueError` saying what is expected."""
    count, period, whose = _parts(text, each, "a rate such as 30/minute/who")
    if period not in PERIODS:
        raise ValueError(f"expected a rate per {', '.join(PERIODS)}, such as 30/minute/who")
    return Limit("rate", calls(count), period, whose)


def quota(text: str, each: Each | None = None) -> Limit:
    """`1000/day`: so many calls in a calendar day or month (UTC). Raises `ValueError`."""
    count, calendar, whose = _parts(text, each, "a quota such as 1000/day/who")
    return Limit("quota", calls(count), _calendar(calendar), whose, CALLS)


def budget(text: str, each: Each | None = None) -> Limit:
    """`500usd/day/who`: so much of a unit in a calendar day or month (UTC). Raises `ValueError`."""
    amount, calendar, whose = _parts(text, each, "a budget such as 500usd/day/who")
    match = _AMOUNT.fullmatch(amount)
    if match is None:
        raise ValueError("expected an amount with its unit, such as 500usd or 0.5usd, with at most six decimals")
    most = int(Decimal(match.group(1)) * MILLION)
    if not 0 < most <= MOST:
        raise ValueError(f"expected an amount above zero and of at most {MOST // MILLION}")
    return Limit("budget", most, _calendar(calendar), whose, unit(match.group(2)))


def concurrency(text: str, each: Each = "all") -> Limit:
    """`4` or `4/who`: so many calls at a time. Raises `ValueError`."""
    count, slash, whose = text.partition("/")
    if slash and whose not in EACH:
        raise ValueError(f"expected how many calls at a time, such as 4, or for each of {', '.join(EACH)}: 4/who")
    return Limit("concurrency", calls(count), "", _each(whose) if slash else each)


def unit(text: str) -> str:
    """A unit of cost. Raises `ValueError`."""
    if re.fullmatch(UNIT_PATTERN, text) is None or text == CALLS:
        raise ValueError("expected a unit of lower-case letters and _, such as usd, tokens or records; not calls")
    return text


def amount(value: object) -> int:
    """A number of YAML or JSON in millionths, exactly; what is finer is rounded up. Raises `ValueError`."""
    if type(value) not in (int, float):
        raise ValueError("expected a number")
    exact = Decimal(str(value))  # of a float the shortest text that means it: what was written
    if not exact.is_finite() or not 0 <= exact * MILLION <= MOST:
        raise ValueError(f"expected a number from 0 to {MOST // MILLION}")
    return int((exact * MILLION).to_integral_value("ROUND_CEILING"))


def _parts(text: str, each: Each | None, expected: str) -> tuple[str, str, Each]:
    parts = text.split("/")
    if len(parts) == 2 and each is not None:
        return parts[0], parts[1], each
    if len(parts) != 3 or parts[2] not in EACH:
        raise ValueError(f"expected {expected}; whose use is counted together is one of {', '.join(EACH)}")
    return parts[0], parts[1], _each(parts[2])


def _each(text: str) -> Each:
    return next(each for each in EACH if each == text)


def calls(text: str) -> int:
    """How many calls. Raises `ValueError`."""
    if _COUNT.fullmatch(text) is None or int(text) > MOST_CALLS:
        raise ValueError(f"expected a whole number of calls from 1 to {MOST_CALLS}")
    return int(text)


def _calendar(text: str) -> str:
    if text not in CALENDAR:
        raise ValueError("expected a calendar day or month, such as 500usd/day/who")
    return text

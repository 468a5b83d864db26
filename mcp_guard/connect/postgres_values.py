"""Between JSON and PostgreSQL's types, exactly or not at all. Pure.

    smallint integer bigint     whole numbers
    real double precision       numbers
    numeric                     a number where JSON's holds it exactly, else text; both are taken
    boolean, text and the like  as they are
    date time timestamp uuid    ISO 8601 and RFC 9562 text; a timestamp with time zone has an offset
    interval                    text out (ISO 8601); an argument is written `CAST(CAST(:x AS text) AS interval)`
    json jsonb                  any value
    bytea                       base64 text
    arrays, rows of a type      arrays and objects of these

What has no such form is an error, never something like it.
"""

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from uuid import UUID

from mcp_guard.kit.pointer import join
from mcp_guard.kit.strict_json import dumps
from mcp_guard.model.errors import Refused


class NoForm(ValueError):
    """A value of the database has no form in JSON. The message says which type, never which value."""


class NoArgument(ValueError):
    """A parameter has a type that no argument can have. The message says which."""


def argument(name: str, value: object, kind: str) -> object:
    """An argument as the driver takes it for a parameter of this type (`int4`, `text[]`, …).

    Raises `Refused` (`args_invalid`, naming the argument and never its value), and `NoArgument`.
    """
    if value is None:
        return None
    if kind in ("json", "jsonb"):
        return dumps(value).decode()
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise _unfit(name, "a list")
        return [argument(name, item, kind.removesuffix("[]")) for item in value]
    taken = _TAKEN.get(kind)
    if taken is None:
        raise NoArgument(f"no argument can be of the type {kind}; cast it from text")
    expected, take = taken
    try:
        return take(value)
    except (ValueError, ArithmeticError):
        raise _unfit(name, expected) from None


def cell(value: object) -> object:
    """A value of the database as JSON. Raises `NoForm`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NoForm("a number is not finite")
        return value
    if isinstance(value, Decimal):
        return _numeric(value)
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, list):
        return [cell(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): cell(item) for key, item in value.items()}
    items = getattr(value, "items", None)  # a row of the driver
    if callable(items):
        return {str(key): cell(item) for key, item in items()}
    raise NoForm("a column has a type that has no form in JSON; cast it to text")


def _numeric(value: Decimal) -> object:
    if not value.is_finite():
        raise NoForm("a number is not finite")
    if value == value.to_integral_value() and abs(value) < 2**53 and value.as_tuple().exponent == 0:
        return int(value)
    number = float(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else format(value, "f")


def _unfit(name: str, expected: str) -> Refused:
    return Refused("args_invalid", f"argument {join([name])} cannot be stored: {expected} is needed")


def _integer(bits: int) -> Callable[[object], int]:
    def take(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise ValueError
        if not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
            raise ValueError
        return int(value)

    return take


def _float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    return float(value)


def _decimal(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    try:
        found = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise ValueError from None
    if not found.is_finite():
        raise ValueError
    return found


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _timestamp(*, zoned: bool) -> Callable[[object], datetime]:
    def take(value: object) -> datetime:
        found = datetime.fromisoformat(_text(value))
        if (found.tzinfo is not None) != zoned:
            raise ValueError
        return found

    return take


def _time(value: object) -> time:
    found = time.fromisoformat(_text(value))
    if found.tzinfo is not None:
        raise ValueError
    return found


_TEXT = ("a text without NUL", _text)
_TAKEN: Mapping[str, tuple[str, Callable[[object], object]]] = {
    "int2": ("a whole number of 16 bits", _integer(16)),
    "int4": ("a whole number of 32 bits", _integer(32)),
    "int8": ("a whole number of 64 bits", _integer(64)),
    "float4": ("a number", _float),
    "float8": ("a number", _float),
    "numeric": ("a number, or one as text", _decimal),
    "bool": ("true or false", _boolean),
    "text": _TEXT,
    "varchar": _TEXT,
    "bpchar": _TEXT,
    "name": _TEXT,
    "citext": _TEXT,
    "enum": _TEXT,
    "date": ("a date such as 2026-01-31", lambda value: date.fromisoformat(_text(value))),
    "time": ("a time such as 13:45:00", _time),
    "timestamp": ("a time such as 2026-01-31T13:45:00, without offset", _timestamp(zoned=False)),
    "timestamptz": ("a time with its offset, such as 2026-01-31T13:45:00+01:00", _timestamp(zoned=True)),
    "uuid": ("a UUID", lambda value: UUID(_text(value))),
    "bytea": ("base64 text", lambda value: b64decode(_text(value), validate=True)),
}

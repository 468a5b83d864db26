"""Values keep what they are between JSON and PostgreSQL, or are refused."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest

from mcp_guard.connect.postgres_values import NoArgument, NoForm, argument, cell
from mcp_guard.model.errors import Refused

UUID_TEXT = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("int4", 7, 7),
        ("int4", 7.0, 7),
        ("int8", -(2**63), -(2**63)),
        ("float8", 7, 7.0),
        ("numeric", 0.1, Decimal("0.1")),
        ("numeric", "12345678901234567890.123456789", Decimal("12345678901234567890.123456789")),
        ("numeric", 7, Decimal(7)),
        ("bool", True, True),
        ("text", "ä", "ä"),
        ("date", "2026-01-31", date(2026, 1, 31)),
        ("time", "13:45:00", time(13, 45)),
        ("timestamp", "2026-01-31T13:45:00", datetime(2026, 1, 31, 13, 45)),  # noqa: DTZ001 - it has none
        ("timestamptz", "2026-01-31T13:45:00Z", datetime(2026, 1, 31, 13, 45, tzinfo=UTC)),
        ("uuid", UUID_TEXT, UUID(UUID_TEXT)),
        ("bytea", "AP8=", b"\x00\xff"),
        ("jsonb", {"b": [1, None]}, '{"b":[1,null]}'),
        ("json", "text", '"text"'),
        ("int4[]", [1, 2, None], [1, 2, None]),
        ("text[]", [], []),
        ("interval", None, None),
        ("text", None, None),
    ],
)
def test_an_argument_is_stored_as_what_it_is(kind: str, value: object, stored: object) -> None:
    assert argument("x", value, kind) == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int4", 2**31),
        ("int2", -(2**15) - 1),
        ("int8", 2**63),
        ("int4", 7.5),
        ("int4", "7"),
        ("int4", True),
        ("float8", "1"),
        ("float8", True),
        ("numeric", "NaN"),
        ("numeric", "a lot"),
        ("numeric", True),
        ("bool", 1),
        ("bool", "true"),
        ("text", 7),
        ("text", "a\0b"),
        ("text", ["s3cret"]),
        ("date", "31.01.2026"),
        ("date", 7),
        ("timestamp", "2026-01-31T13:45:00Z"),
        ("timestamptz", "2026-01-31T13:45:00"),
        ("uuid", "s3cret"),
        ("bytea", "not base64!"),
        ("int4[]", 7),
        ("int4[]", ["s3cret"]),
        ("enum", 7),
    ],
)
def test_nothing_is_turned_into_something_else(kind: str, value: object) -> None:
    with pytest.raises(Refused) as refused:
        argument("x", value, kind)
    assert refused.value.code == "args_invalid"
    assert refused.value.reason.startswith("argument /x cannot be stored: ")
    assert "s3cret" not in refused.value.reason


def test_a_parameter_of_a_type_without_form_is_the_statements_fault() -> None:
    with pytest.raises(NoArgument, match="interval"):
        argument("x", "1 day", "interval")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("10.50"), 10.5),
        (Decimal("7"), 7),
        (Decimal("7.00"), 7.0),
        (Decimal("0.1"), 0.1),
        (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
        (Decimal("12345678901234567890"), "12345678901234567890"),
        (Decimal("1E+2"), 100.0),
        (2**63 - 1, 2**63 - 1),
        (1.5, 1.5),
        (datetime(2026, 1, 31, 13, 45, tzinfo=timezone(timedelta(hours=1))), "2026-01-31T13:45:00+01:00"),
        (date(2026, 1, 31), "2026-01-31"),
        (time(13, 45, 0, 5), "13:45:00.000005"),
        (UUID(UUID_TEXT), UUID_TEXT),
        (b"\x00\xff", "AP8="),
        ([Decimal("1.5"), None, [True]], [1.5, None, [True]]),
        ({"a": b"\xff"}, {"a": "/w=="}),
    ],
)
def test_a_value_is_shown_as_what_it_is(value: object, shown: object) -> None:
    found = cell(value)
    assert found == shown
    assert type(found) is type(shown)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity"), 1j, object()])
def test_what_has_no_form_is_an_error(value: object) -> None:
    with pytest.raises(NoForm):
        cell([value])

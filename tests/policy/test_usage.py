"""What a condition reads, and what it holds that against."""

import pytest

from mcp_guard.policy.fields import Kind
from mcp_guard.policy.usage import Use, uses

AMOUNT, COUNTRY = ("args", "amount"), ("args", "country")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("True", []),
        ("r.ctx.args.flag", [Use(("args", "flag"), 0, Kind.BOOL)]),
        ("not r.ctx.args.flag", [Use(("args", "flag"), 4, Kind.BOOL)]),
        ("r.ctx.args.amount <= 100", [Use(AMOUNT, 0, Kind.NUMBER, (100,))]),
        ("-5 < r.ctx.args.amount", [Use(AMOUNT, 5, Kind.NUMBER, (-5,))]),
        ("-r.ctx.args.amount < 5", [Use(AMOUNT, 1, Kind.NUMBER, (-5,))]),
        (
            "0 < r.ctx.args.amount <= 9",
            [Use(AMOUNT, 4, Kind.NUMBER, (0,)), Use(AMOUNT, 4, Kind.NUMBER, (9,))],
        ),
        ("r.ctx.args.amount + 1 > 5", [Use(AMOUNT, 0, Kind.NUMBER, (5,))]),
        ('r.ctx.args["country"] == "DE"', [Use(COUNTRY, 0, Kind.TEXT, ("DE",))]),
        ("r.ctx.args.country == None", [Use(COUNTRY, 0, Kind.ANY, (None,))]),
        ('r.ctx.args.country not in ("DE", "FR")', [Use(COUNTRY, 0, Kind.TEXT, ("DE", "FR"))]),
        ("r.ctx.args.a.b in (-1, 2)", [Use(("args", "a", "b"), 0, Kind.NUMBER, (-1, 2))]),
        ('"country" in r.ctx.args', [Use(COUNTRY, 13, presence=True)]),
        ('"level" in r.ctx.subject.attributes', [Use(("subject", "attributes", "level"), 11, presence=True)]),
        ('"x:y" in r.ctx.scopes', [Use(("scopes",), 9, Kind.LIST, ("x:y",))]),
        ('not ("pii" in r.ctx.seen)', [Use(("seen",), 14, Kind.LIST, ("pii",))]),
        (
            'matches(r.ctx.args.country, "D?") or hours(r.ctx.now, "Mon 09:00-17:00")',
            [
                Use(COUNTRY, 8, Kind.TEXT, ("D?",), "matches"),
                Use(("now",), 43, Kind.NUMBER, ("Mon 09:00-17:00",), "hours"),
            ],
        ),
        (
            'r.ctx.args.country == "ü" and r.ctx.args.amount > r.ctx.args.country',
            [Use(COUNTRY, 0, Kind.TEXT, ("ü",)), Use(AMOUNT, 30, Kind.ANY), Use(COUNTRY, 50, Kind.ANY)],
        ),
    ],
)
def test_uses(text: str, expected: list[Use]) -> None:
    assert uses(text) == expected

"""Limits and costs: how often, how much and how much at once. Amounts are whole millionths of their unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

LimitKind = Literal["repeat", "rate", "concurrency", "quota", "budget"]
Each = Literal["who", "via", "tenant", "tool", "all"]
"""Whose use is counted together: a person's, an agent's, a tenant's, one tool's in a tenant, or everybody's."""
Calendar = Literal["day", "month"]
EACH: tuple[Each, ...] = get_args(Each)
CALENDAR: tuple[Calendar, ...] = get_args(Calendar)

MILLION: Final = 1_000_000
MOST: Final = 1_000_000_000 * MILLION
"""The largest amount of one call, and the largest budget: a record keeps it exactly (RFC 8785), sums fit 64 bits."""
CALLS: Final = "calls"
"""The unit of a quota. No cost is in it."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as somebody wrote it.

    `most` counts calls; of a budget it is millionths of `unit`. `window` is `second minute hour day` of a rate, `day`
    or `month` of a quota or budget, and the seconds of a repeat guard. `source` is where it stands: `rule:ID`,
    `tool:NAME`, `home:…`. It says which calls are counted together, and is no part of what the limit says.
    """

    kind: LimitKind
    most: int
    window: str = ""
    each: Each = "all"
    unit: str = ""
    source: str = field(default="", compare=False)

    def __str__(self) -> str:
        """The text it is written as."""
        each = "" if self.kind == "repeat" or (self.kind == "concurrency" and self.each == "all") else f"/{self.each}"
        if self.kind == "concurrency":
            return f"{self.most}{each}"
        if self.kind == "repeat":
            return f"{self.most}/{self.window}s"
        amount = f"{shown(self.most)}{self.unit}" if self.kind == "budget" else str(self.most)
        return f"{amount}/{self.window}{each}"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call of a tool costs. Exactly one of the rest says how much of `unit`.

    `amount` is declared, in millionths; `argument` names the argument that is the amount, `count_of` the list argument
    whose items are counted; `reported` points (RFC 6901) into the result, and then at most `at_most` is expected.
    """

    unit: str
    amount: int | None = None
    argument: str | None = None
    count_of: str | None = None
    reported: str | None = None
    at_most: int | None = None


def shown(millionths: int) -> str:
    """An amount as people write it: `12.5`."""
    sign = "-" if millionths < 0 else ""
    whole, rest = divmod(abs(millionths), MILLION)
    return f"{sign}{whole}" + (f".{rest:06d}".rstrip("0") if rest else "")


def number(millionths: int) -> int | float:
    """An amount as a condition compares it. The nearest float where it is not whole, as a constant is too."""
    return millionths // MILLION if millionths % MILLION == 0 else millionths / MILLION


NO_SPENDING: Mapping[str, int | float] = {}

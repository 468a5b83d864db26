"""`limits:` and `cost:` as people write them, in a manifest and in `mcp-guard.yaml`, and what they mean."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from mcp_guard.kit import pointer, units
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.fields import Matching, Strict
from mcp_guard.manifest.report import Report
from mcp_guard.model import limit_text
from mcp_guard.model.limit import Cost, Each, Limit

MOST_REPEATS = 100
LONGEST_REPEAT = 86_400
REPEAT_PATTERN = rf"^{limit_text.COUNT_PATTERN}/[0-9]{{1,9}}(s|m|h|d)$"


def repeat(text: str) -> Limit:
    """`5/10m`: the same call at most five times in any ten minutes. Raises `ValueError` saying what is expected."""
    count, _, window = text.partition("/")
    seconds = int(units.seconds(window)) if window and not window.endswith("ms") else 0
    if not 1 <= seconds <= LONGEST_REPEAT:
        raise ValueError("expected how often and in what time, such as 5/10m; the time is from 1s to 1d")
    if limit_text.calls(count) > MOST_REPEATS:
        raise ValueError(f"expected at most {MOST_REPEATS} repetitions")
    return Limit("repeat", int(count), str(seconds), "who")


@dataclass(frozen=True, slots=True)
class Written:
    """A text that `read` understands. Its `ValueError` says what is expected."""

    pattern: str
    read: Callable[[str], object]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        whole = re.compile(self.pattern)

        def check(value: str) -> str:
            try:
                self.read(value)
            except ValueError as error:
                expected = str(error).removeprefix("expected ")
                raise PydanticCustomError("expected", "expected {expected}", {"expected": expected}) from None
            assert whole.fullmatch(value), "the pattern for editors knows every text that is read"
            return value

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}


Rate = Annotated[str, Written(limit_text.RATE_PATTERN, lambda text: limit_text.rate(text, "all"))]
Quota = Annotated[str, Written(limit_text.QUOTA_PATTERN, lambda text: limit_text.quota(text, "all"))]
Budget = Annotated[str, Written(limit_text.BUDGET_PATTERN, lambda text: limit_text.budget(text, "all"))]
Repeat = Annotated[str, Written(REPEAT_PATTERN, repeat)]
Concurrency = Annotated[int, Field(ge=1, le=10_000)]
Unit = Annotated[
    str,
    Matching(rf"^(?!calls$){limit_text.UNIT_PATTERN}$", "a unit of lower-case letters and _, such as usd; not calls"),
]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Amount = Annotated[int | float, Field(ge=0, le=1_000_000_000)]


class ToolLimits(Strict):
    """How often, and how much at once. Everybody's use of the tool counts together, unless a text ends with /who."""

    rate: Rate | None = None
    concurrency: Concurrency | None = None
    repeat: Repeat | None = Field(default=None, description="The same call by the same principal, in any such time.")
    quota: Quota | None = None


class CommonLimits(Strict):
    """Limits over all tools."""

    rate: Rate | None = None
    concurrency: Concurrency | None = None
    quota: Quota | None = None
    budget: Annotated[tuple[Budget, ...], Field(strict=False)] = ()


class CostRule(Strict):
    """What a call costs. Exactly one of `amount`, `argument`, `count_of` and `reported` says how much."""

    unit: Unit
    amount: Amount | None = None
    argument: Name | None = Field(default=None, description="The argument that is the amount.")
    count_of: Name | None = Field(default=None, description="The list argument whose items are counted.")
    reported: str | None = Field(default=None, description="A JSON pointer to the amount in the result.")
    at_most: Amount | None = Field(default=None, description="What is reserved until the result reports the amount.")


def limits_of(source: str, written: ToolLimits | CommonLimits | None, each: Each = "all") -> tuple[Limit, ...]:
    """The limits that are written in one place; where a text does not say whose use is counted together, `each` is."""
    if written is None:
        return ()
    found: list[Limit] = []
    if isinstance(written, ToolLimits) and written.repeat is not None:
        found.append(repeat(written.repeat))
    if written.rate is not None:
        found.append(limit_text.rate(written.rate, each))
    if written.concurrency is not None:
        found.append(limit_text.concurrency(str(written.concurrency), each))
    if written.quota is not None:
        found.append(limit_text.quota(written.quota, each))
    if isinstance(written, CommonLimits):
        found += [limit_text.budget(text, each) for text in written.budget]
    return tuple(replace(limit, source=source) for limit in found)


def merged(own: ToolLimits | None, defaults: ToolLimits | None, *, workflow: bool) -> ToolLimits | None:
    """A tool's limits: its own, and those of its file that it does not say itself."""
    if defaults is None:
        return own
    if workflow:
        defaults = defaults.model_copy(update={"concurrency": None})
    return defaults if own is None else defaults.model_copy(update=own.model_dump(exclude_none=True))


def compile_cost(rule: CostRule, arguments: Arguments, report: Report) -> Cost | None:
    """What a call costs, or `None` where the report now holds an error about it."""
    given = [name for name in ("amount", "argument", "count_of", "reported") if getattr(rule, name) is not None]
    if len(given) != 1:
        report.error("cost", "a cost is said in exactly one way", "keep one of amount, argument, count_of, reported")
        return None
    if (rule.reported is not None) != (rule.at_most is not None):
        report.error(
            "cost",
            "at_most is for a cost the result reports, and always needed there",
            "say at_most: N, the most a call may cost; so much is reserved before it",
        )
        return None
    before = len(report.problems)
    if rule.argument is not None:
        _check_argument(rule.argument, frozenset({"number", "integer"}), arguments, report.at("argument"))
    if rule.count_of is not None:
        _check_argument(rule.count_of, frozenset({"array"}), arguments, report.at("count_of"))
    if rule.reported is not None:
        try:
            pointer.parse(rule.reported)
        except ValueError as error:
            report.at("reported").error("pointer", str(error), "for example /usage/total")
    if len(report.problems) > before:
        return None
    return Cost(rule.unit, _exact(rule.amount), rule.argument, rule.count_of, rule.reported, _exact(rule.at_most))


def _exact(amount: float | None) -> int | None:
    return None if amount is None else limit_text.amount(amount)


def _check_argument(name: str, types: frozenset[str], arguments: Arguments, report: Report) -> None:
    """Report an argument that can be missing or of another kind: then nobody knows what the call costs."""
    if not arguments.check_name(name, report):
        return
    found = arguments.types[name]
    if not found or not found <= types:
        expected = " or ".join(sorted(types))
        report.error("argument_type", f"{name} is not always {expected}", "say its type in inputSchema")
    if name not in arguments.always:
        report.error("optional_argument", f"{name} may be missing, and the cost with it", f"list {name} under required")

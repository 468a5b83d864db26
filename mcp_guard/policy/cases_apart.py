"""Every case that conditions can tell apart, where their texts let the cases be counted.

A condition that only holds fields of the call against constants is the same everywhere between two neighbouring
constants. So a finite set of values stands for all: each constant, something between each two, something beyond, other
kinds, and no value at all. What calls functions, adds, compares fields with each other or asks who is acting and when
cannot be counted like this.
"""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, combinations, pairwise, product
from math import prod

from mcp_guard.policy import probes, syntax
from mcp_guard.policy.fields import Kind
from mcp_guard.policy.probes import MONDAY, Context
from mcp_guard.policy.usage import Path, Use, uses

MOST_CASES = 500
"""Of one question. More are not counted."""

_MOST_LABELS = 4
_ABSENT = object()
_LISTS = frozenset({("scopes",), ("seen",)})
_ALWAYS_THERE = _LISTS | {("now",), ("env", "name")}


def cases(texts: Iterable[str]) -> list[Context] | None:
    """A context for every case that accepted conditions can tell apart, or `None` where they cannot be counted."""
    values: dict[Path, list[object]] = {}
    found: dict[Path, list[Use]] = {}
    for text in dict.fromkeys(texts):
        if not _is_plain(text):
            return None
        for use in uses(text):
            found.setdefault(use.path, []).append(use)
    for path, here in found.items():
        if any(path != other and path[: len(other)] == other for other in found):
            return None
        counted = _values(path, here)
        if counted is None:
            return None
        values[path] = counted
    if prod(map(len, values.values())) > MOST_CASES:
        return None
    return [_context(dict(zip(values, chosen, strict=True))) for chosen in product(*values.values())]


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    """Whether a condition does nothing but hold fields that can be chosen against constants."""
    nodes = ast.walk(syntax.parse(text))
    return not any(isinstance(node, ast.Call | ast.BinOp) for node in nodes) and all(map(_is_counted, uses(text)))


def _is_counted(use: Use) -> bool:
    chosen = use.path[0] in ("args", "spent") or use.path[:2] == ("subject", "attributes") or use.path in _ALWAYS_THERE
    return chosen and (use.presence or use.kind is Kind.BOOL or bool(use.constants))


def _values(path: Path, here: Sequence[Use]) -> list[object] | None:
    """What stands for all values of a field; `None` where that would be too many."""
    held = list(dict.fromkeys(constant for use in here if use.kind is Kind.LIST for constant in use.constants))
    if len(held) > _MOST_LABELS:
        return None
    lists: list[object] = [
        list(some) for size in range(len(held) + 1) for some in combinations(held, size) if held or path in _LISTS
    ]
    if path in _LISTS:
        return lists
    if held and _are_parted(held, here):
        return None
    plain = [constant for use in here for constant in probes.edges(use)]
    numbers = sorted({value for value in plain if isinstance(value, int | float) and not isinstance(value, bool)})
    texts = [value for value in chain(plain, held) if isinstance(value, str)]
    found = [*plain, *_between(numbers, whole=path == ("now",)), *lists]
    if path not in _ALWAYS_THERE:
        found += ["", *(f"{text}\0" for text in texts), *held, None, {}, True, False, _ABSENT]
        found += [] if numbers else [0.5]
        found += [{key: 1} for key in held if isinstance(key, str)]
    elif path == ("env", "name"):
        found += ["", *(f"{text}\0" for text in texts)]
    return _once(found)


def _are_parted(held: Sequence[object], here: Sequence[Use]) -> bool:
    """Whether texts are asked for a part and for something else too: of those there are more than can be counted."""
    others = [constant for use in here if use.kind is not Kind.LIST for constant in use.constants]
    return len(held) > 1 or any(isinstance(constant, str) for constant in others)


def _between(numbers: Sequence[float], *, whole: bool) -> Iterator[object]:
    for low, high in pairwise(numbers):
        yield (int(low) + int(high)) // 2 if whole else (low + high) / 2


def _once(values: Iterable[object]) -> list[object]:
    return list({f"{type(value).__name__} {value!r}": value for value in values}.values())


def _context(values: Mapping[Path, object]) -> Context:
    context = Context(MONDAY.replace(hour=12))
    for path, value in values.items():
        if value is not _ABSENT:
            context.put(path, value)
    return context

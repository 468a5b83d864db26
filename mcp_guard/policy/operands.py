"""What compiled conditions call where the type of a value is only known when it is there.

Values of different kinds are never compared: `"5" > 4`, `True == 1` and `[] == ""` are errors of the condition, not
answers. `None` may be compared with anything by `==` and `!=`.
"""

import operator
from collections.abc import Callable, Mapping
from math import isfinite
from typing import NoReturn


class Mismatch(TypeError):
    """Values of different kinds were compared, or a value is not of the kind its place needs."""


NUMBERS = frozenset({int, float})
_KINDS: dict[type, str] = {int: "number", float: "number", str: "text", bool: "bool"}


def mismatch() -> NoReturn:
    raise Mismatch


def number(value: object) -> int | float:
    """The value where it is a finite number. A NaN would pass neither `<=` nor `>`, so no rule may see one."""
    if type(value) is int or (type(value) is float and isfinite(value)):
        return value
    raise Mismatch


def number_or_none(value: object) -> int | float | None:
    return None if value is None else number(value)


def text_or_none(value: object) -> str | None:
    if value is None or type(value) is str:
        return value
    raise Mismatch


def bool_or_none(value: object) -> bool | None:
    if value is None or type(value) is bool:
        return value
    raise Mismatch


def kind(value: object) -> str:
    """`number`, `text` or `bool`; anything else has no comparisons."""
    found = _KINDS.get(type(value))
    if found is None:
        raise Mismatch
    if found == "number":
        number(value)
    return found


def equal(left: object, right: object) -> bool:
    """`==` of two scalars of one kind, or with `None`."""
    if left is None or right is None:
        return left is right
    if kind(left) != kind(right):
        raise Mismatch
    return left == right


def _ordering(compare: Callable[..., bool]) -> Callable[[object, object], bool]:
    def ordered(left: object, right: object) -> bool:
        found = kind(left)
        if found == "bool" or found != kind(right):
            raise Mismatch
        return compare(left, right)

    return ordered


less = _ordering(operator.lt)
at_most = _ordering(operator.le)
more = _ordering(operator.gt)
at_least = _ordering(operator.ge)


def contains(container: object, value: object) -> bool:
    """`value in container`: part of a text, key of a mapping, element of a list (all of the value's kind)."""
    if isinstance(container, list | tuple | frozenset):
        return any(equal(value, element) for element in container)
    if type(value) is str and (type(container) is str or isinstance(container, Mapping)):
        return value in container
    raise Mismatch


NAMESPACE: dict[str, object] = {
    "__builtins__": {},
    "type": type,
    "int": int,
    "str": str,
    "bool": bool,
    "NUMBERS": NUMBERS,
    "mismatch": mismatch,
    "number": number,
    "number_or_none": number_or_none,
    "text_or_none": text_or_none,
    "bool_or_none": bool_or_none,
    "equal": equal,
    "less": less,
    "at_most": at_most,
    "more": more,
    "at_least": at_least,
    "contains": contains,
}

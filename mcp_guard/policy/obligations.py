"""The `then` column: what a row asks for beside its effect."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from mcp_guard.kit import places, units
from mcp_guard.model import limit_text
from mcp_guard.model.decision import DEFAULT_EXPIRES_S, REQUESTER, Effect, Escalation, Obligations, Rows
from mcp_guard.model.limit import Limit
from mcp_guard.model.principal import ASSURANCES, Assurance
from mcp_guard.policy import names

NOTHING = "-"
MAX_EXPIRES = 366 * 86_400
MAX_QUORUM = 20
ROWS: dict[str, Rows] = {"own": "own", "tenant": "tenant", "all": "all"}  # from the narrowest to the widest

_APPROVAL = frozenset({"approvers", "not", "quorum", "expires", "escalate", "assurance", "confirm"})
_LIMITS: dict[str, Callable[[str], Limit]] = {
    "rate": limit_text.rate,
    "budget": limit_text.budget,
    "concurrency": limit_text.concurrency,
}
_OF_CALLS = frozenset({"redact", *_LIMITS})
_EXAMPLE = "for example approvers=role:finance; not=requester; expires=4h"


class ObligationError(Exception):
    """`offset` counts characters of the column from 0."""

    def __init__(self, code: str, message: str, offset: int = 0, hint: str = _EXAMPLE) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.hint = hint


def parse(text: str, effect: Effect, act: str, row: str = "") -> Obligations:
    """The obligations of a row with this effect, act and id. Raises `ObligationError`."""
    found: dict[str, object] = {}
    for key, value, offset in [] if text == NOTHING else _items(text):
        if key in found:
            raise ObligationError("obligation_duplicate", f"`{key}` is asked for twice", offset, "keep one")
        _check_place(key, effect, act, offset)
        try:
            found[key] = _READERS[key](value)
        except ValueError as error:
            raise ObligationError("obligation_value", f"`{key}`: {error}", offset) from None
    if effect is Effect.REQUIRE_APPROVAL:
        _check_people(found)
    if "not" in found:
        found["not_requester"] = found.pop("not")
    limits = [limit for key in _LIMITS if isinstance(limit := found.pop(key, None), Limit)]
    found["limits"] = tuple(replace(limit, source=f"rule:{row}") for limit in limits)
    then = Obligations(**found)  # type: ignore[arg-type]  # the readers return what the fields hold
    if then.escalate is not None:
        _check_escalation(then, then.escalate, next(offset for key, _, offset in _items(text) if key == "escalate"))
    return then


def _check_escalation(then: Obligations, escalation: Escalation, offset: int) -> None:
    """Refuse one that could never matter."""
    expires = then.expires or DEFAULT_EXPIRES_S
    if escalation.after >= expires:
        message = f"it is refused after {expires} seconds, before it would be escalated"
        raise ObligationError("escalate_too_late", message, offset, "escalate earlier, or write a longer expires=")
    if set(escalation.to) <= set(then.approvers):
        message = "whom it is escalated to is asked from the beginning"
        raise ObligationError("escalate_to_nobody_new", message, offset, "name somebody else, or leave it out")


def _check_people(found: Mapping[str, object]) -> None:
    """A row has to ask somebody; what is said of approvers needs some."""
    if "approvers" in found:
        return
    if "confirm" not in found:
        hint = "add approvers=role:… or confirm=requester"
        raise ObligationError("approvers_missing", "nobody could ever approve this", 0, hint)
    for key in ("not", "quorum", "escalate"):
        if key in found:
            message = f"`{key}` is about approvers, and only the requester is asked here"
            raise ObligationError("obligation_conflict", message, 0, f"add approvers=role:…, or leave {key}= out")


def _items(text: str) -> list[tuple[str, str, int]]:
    """`key=value` parts separated by `;`, with their offsets."""
    items: list[tuple[str, str, int]] = []
    start = 0
    for part in text.split(";"):
        key, equals, value = part.partition("=")
        offset = start + len(part) - len(part.lstrip())
        start += len(part) + 1
        if not equals:
            message = "the column is empty" if not text else "expected key=value parts separated by `;`"
            raise ObligationError("obligation_syntax", message, offset, "write - where a row asks for nothing")
        items.append((key.strip(), value.strip(), offset))
    return items


def _check_place(key: str, effect: Effect, act: str, offset: int) -> None:
    if key not in _READERS:
        hint = names.did_you_mean(key, _READERS) or "known: " + ", ".join(_READERS)
        raise ObligationError("obligation_unknown", f"`{key}` is not an obligation", offset, hint)
    if key in _APPROVAL and effect is not Effect.REQUIRE_APPROVAL:
        message = f"`{key}` belongs to a require_approval row"
        raise ObligationError("obligation_effect", message, offset, "change the effect, or write -")
    if key in _OF_CALLS and (effect is Effect.DENY or act != "call"):
        message = f"`{key}` belongs to a row with act call that lets calls through"
        raise ObligationError("obligation_effect", message, offset, "say act call and allow or require_approval")
    if key == "rows" and (effect is not Effect.ALLOW or act != "audit"):
        message = "`rows` belongs to an allow row with act audit"
        raise ObligationError("obligation_effect", message, offset, "leave it out")


def _list(value: str) -> tuple[str, ...]:
    inside = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    return tuple(dict.fromkeys(part.strip() for part in inside.split(",")))


def _approvers(value: str) -> tuple[str, ...]:
    found = _list(value)
    if not all(map(names.is_approver, found)):
        raise ValueError("expected role:… or user:…, several as [role:a, role:b]")
    return found


def _redact(value: str) -> tuple[str, ...]:
    return places.checked(_list(value))


def _requester(value: str) -> bool:
    if value != REQUESTER:
        raise ValueError("expected requester")
    return True


def _quorum(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 4 and 1 <= int(value) <= MAX_QUORUM):
        raise ValueError(f"expected a whole number from 1 to {MAX_QUORUM}")
    return int(value)


def expires(value: str) -> int:
    """Seconds of a duration such as `4h`. Raises `ValueError`."""
    found = units.seconds(value)
    if not 1 <= found <= MAX_EXPIRES or not math.isclose(found, int(found)):
        raise ValueError("expected whole seconds up to 366d, such as 30m, 4h or 2d")
    return int(found)


def escalation(value: str) -> Escalation:
    """`role:manager/1h`, several as `[role:a, role:b]/1h`. Raises `ValueError`."""
    to, slash, after = value.rpartition("/")
    if not slash:
        raise ValueError("expected who and after how long, such as role:manager/1h")
    return Escalation(_approvers(to.strip()), expires(after.strip()))


def _rows(value: str) -> Rows:
    if value not in ROWS:
        raise ValueError("expected own, tenant or all")
    return ROWS[value]


def _assurance(value: str) -> Assurance:
    known = {str(assurance): assurance for assurance in ASSURANCES if assurance != "declared"}
    if value not in known:
        raise ValueError(f"expected {', '.join(known)}")
    return known[value]


_READERS: dict[str, Callable[[str], object]] = {
    "approvers": _approvers,
    "not": _requester,
    "confirm": _requester,
    "quorum": _quorum,
    "expires": expires,
    "escalate": escalation,
    "rows": _rows,
    "assurance": _assurance,
    "redact": _redact,
    **_LIMITS,
}

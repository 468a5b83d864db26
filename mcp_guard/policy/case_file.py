"""Policy tests as people write them: a YAML list of requests and the decisions they should get.

    - name: a small refund needs nobody else
      as: user:alice
      via: agent:local
      tenant: acme
      tool: payments_refund
      args: {order_id: ORD-1001, amount: 40}
      want: {effect: allow, rule: refund-small}

`act` is `call` where nothing is said, `now` Monday 2026-01-05 12:00 UTC; it is written as quoted ISO 8601 with a zone
or as unix seconds. `seen` lists labels of what was returned before, `spent` says what was spent (`{usd_today: 400}`);
without them there was nothing. Of `want.then` every
key given has to be there with that value; durations may be written `4h`.

A test about a name nobody can have would pass wherever it wants a denial, so names are checked like those of rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mcp_guard.kit import pointer, yaml
from mcp_guard.model.decision import Act
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.policy import names, obligations

DEFAULT_NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)

_KEYS = ("name", "as", "via", "tenant", "act", "tool", "args", "seen", "spent", "now", "want")
_LISTS = ("approvers", "rate", "budget", "concurrency", "redact")
_WANTED_KEYS = ("effect", "rule", "then")
_NAMES: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("as", lambda text: names.is_who(text) and not names.is_role(text), "for example user:alice or service:nightly"),
    ("via", lambda text: names.is_via(text) and not names.is_role(text), "for example agent:local"),
    ("tenant", names.is_tenant, "for example acme"),
)
_ACTS: dict[str, Act] = {"list": "list", "call": "call", "approve": "approve", "task": "task", "audit": "audit"}


@dataclass(frozen=True, slots=True)
class Case:
    """One test: where it stands, the request, and what is wanted of the decision."""

    name: str
    file: str
    line: int
    subject: str
    client: str
    tenant: str
    act: Act
    tool: str
    arguments: Mapping[str, object]
    seen: frozenset[str]
    now: datetime
    want: Mapping[str, object]
    spent: Mapping[str, int | float] = field(default_factory=dict)


def read_cases(document: yaml.Document) -> list[Case]:
    """The tests of one document. Raises `Invalid` naming every problem."""
    problems: list[Problem] = []
    if not isinstance(document.value, list):
        hint = "start every test with `- name: …`"
        raise Invalid([document.problem("", "type", "expected a list of tests", hint)])
    cases = [_read(document, index, entry, problems) for index, entry in enumerate(document.value)]
    if problems:
        raise Invalid(problems)
    return [case for case in cases if case is not None]


def _read(document: yaml.Document, index: int, entry: object, problems: list[Problem]) -> Case | None:
    before = len(problems)

    def complain(key: str, code: str, message: str, hint: str = "") -> None:
        where = pointer.join([index, *([key] if key else [])])
        problems.append(document.problem(where, code, message, hint))

    if not isinstance(entry, dict):
        complain("", "type", "a test is a mapping", "known keys: " + ", ".join(_KEYS))
        return None
    _check_keys(entry, complain)
    act = _ACTS.get(str(entry.get("act", "call")))
    if act is None:
        complain("act", "value", "`act` is not one that exists", "acts: " + " ".join(names.ACTS))
    arguments = entry.get("args", {})
    if not isinstance(arguments, dict):
        complain("args", "type", "`args` is a mapping of arguments")
    seen = _labels(entry.get("seen", []))
    if seen is None:
        complain("seen", "type", "`seen` is a list of labels", "for example seen: [untrusted]")
    spent = _amounts(entry.get("spent", {}))
    if spent is None:
        complain("spent", "type", "`spent` says how much of what", "for example spent: {usd_today: 400}")
    now = _moment(entry.get("now"))
    if now is None:
        complain(
            "now", "value", "`now` is a moment", 'quoted ISO 8601 with a zone, "2026-01-05T12:00:00Z", or unix seconds'
        )
    if message := _wrong_want(entry.get("want")):
        complain("want", "value", message, "for example want: {effect: allow, rule: refund-small}")
    if len(problems) > before or act is None or now is None or seen is None or spent is None:
        return None
    who = (entry["as"], entry["via"], entry["tenant"])
    line, _ = document.position(pointer.join([index]))
    tool, want = entry["tool"], entry["want"]
    return Case(entry["name"], document.file, line, *who, act, tool, arguments, seen, now, want, spent)


def _check_keys(entry: Mapping[str, object], complain: Callable[..., None]) -> None:
    for key in entry:
        if key not in _KEYS:
            hint = names.did_you_mean(key, _KEYS) or "known keys: " + ", ".join(_KEYS)
            complain(key, "unknown_key", "is not known here", hint)
    for key in ("name", "as", "via", "tenant", "tool"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            complain(key, "missing", f"`{key}` is a text every test has")
    for key, is_name, example in _NAMES:
        if isinstance(text := entry.get(key), str) and text and not is_name(text):
            complain(key, "name", f"`{key}` is not a name", example)


def _labels(value: object) -> frozenset[str] | None:
    """A list of labels as a set, or `None` where it is not one."""
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        return None
    return frozenset(value)


def _amounts(value: object) -> Mapping[str, int | float] | None:
    """Numbers by name, or `None` where there is something else."""
    if not isinstance(value, dict) or any(type(amount) not in (int, float) for amount in value.values()):
        return None
    return value


def _moment(value: object) -> datetime | None:
    """A moment with a zone, or `None` where it is not one."""
    if value is None:
        return DEFAULT_NOW
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo is not None else None
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _wrong_want(want: object) -> str:
    """What is wrong with a `want`, or nothing."""
    if not isinstance(want, dict) or want.get("effect") not in names.EFFECTS:
        return "`want` names an effect: " + " ".join(names.EFFECTS)
    if unknown := [key for key in want if key not in _WANTED_KEYS]:
        return f"`want.{unknown[0]}` is not known here"
    then = want.get("then", {})
    if not isinstance(then, dict):
        return "`want.then` is a mapping of obligations"
    for key, value in then.items():
        try:
            as_recorded(key, value)
        except ValueError as error:
            return f"`want.then.{key}`: {error}"
    return ""


def as_recorded(key: str, value: object) -> object:
    """An obligation as a decision shows it: seconds for durations, lists of whom and what. Raises `ValueError`."""
    if key == "escalate" and isinstance(value, str):
        return obligations.escalation(value).as_dict()
    if key == "expires" and isinstance(value, str):
        return obligations.expires(value)
    return [value] if key in _LISTS and isinstance(value, str) else value

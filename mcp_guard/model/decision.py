"""What policy says: an effect, the rule that said so, its reason, and what it obliges us to."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, get_args

from mcp_guard.model import limit_text
from mcp_guard.model.limit import Limit
from mcp_guard.model.principal import Assurance, Principal

Act = Literal["list", "call", "approve", "task", "audit"]
Rows = Literal["own", "tenant", "all"]

RULE_DEFAULT = "guard:default"
RULE_SCOPE = "guard:scope"
NO_SUCH_TOOL = "there is no such tool"
RULE_FROZEN = "guard:frozen"
RULE_REVOKED = "guard:token"
OPERATORS = frozenset({RULE_FROZEN, RULE_REVOKED})
"""Rules by which an operator stops what policy and people agreed to, also at a tool that is only observed."""
REQUESTER = "requester"
"""Among those who are asked: whoever made the call, about their own call. No policy can name anybody so."""

_ROWS: Mapping[str, Rows] = {rows: rows for rows in get_args(Rows)}
_ASSURANCES: Mapping[str, Assurance] = {assurance: assurance for assurance in get_args(Assurance)}
_EMPTY: Mapping[str, object] = MappingProxyType({})
_LIMITS: Mapping[str, Callable[[str], Limit]] = {
    "rate": limit_text.rate,
    "budget": limit_text.budget,
    "concurrency": limit_text.concurrency,
}


class Effect(StrEnum):
    """deny > require_approval > allow > (no row applies) deny."""

    DENY = "deny"
    REQUIRE_APPROVAL = "require_approval"
    ALLOW = "allow"


DEFAULT_EXPIRES_S = 86_400
"""How long people have to decide where the rule does not say."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """Who may decide as well, once nobody has for so long (seconds)."""

    to: tuple[str, ...]
    after: float

    def as_dict(self) -> dict[str, object]:
        """With whole seconds, as a policy has them."""
        return {"to": list(self.to), "after": int(self.after)}

    @classmethod
    def from_dict(cls, found: object) -> "Escalation":
        """What `as_dict` wrote. Raises `ValueError` for anything else."""
        after = found.get("after") if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or type(after) is not int:
            raise ValueError("to whom and after how many seconds it is escalated is expected")
        return cls(_texts(found.get("to")), after)


@dataclass(frozen=True, slots=True)
class Obligations:
    """The parsed `then` column. Durations are in seconds; `None` and empty mean not asked for.

    `confirm`: whoever asks confirms it themselves, before anybody else is asked. `limits` all hold. `redact` are the
    places of a result that nobody is shown (`kit.places`).
    """

    approvers: tuple[str, ...] = ()
    not_requester: bool = False
    quorum: int | None = None
    expires: int | None = None
    rows: Rows | None = None
    escalate: Escalation | None = None
    assurance: Assurance | None = None
    confirm: bool = False
    limits: tuple[Limit, ...] = ()
    redact: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """Who has to be asked: `REQUESTER` first where they confirm, then the approvers."""
        return (REQUESTER, *self.approvers) if self.confirm else self.approvers

    def as_dict(self) -> dict[str, object]:
        """Only what is asked for, in the words of the policy file."""
        found: dict[str, object] = {}
        if self.approvers:
            found["approvers"] = list(self.approvers)
        if self.not_requester:
            found["not"] = "requester"
        if self.escalate is not None:
            found["escalate"] = self.escalate.as_dict()
        for name in ("quorum", "expires", "rows", "assurance"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value
        if self.confirm:
            found["confirm"] = REQUESTER
        if self.redact:
            found["redact"] = list(self.redact)
        for limit in self.limits:
            texts = found.setdefault(limit.kind, [])
            assert isinstance(texts, list)
            texts.append(str(limit))
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, object]) -> "Obligations":
        """What `as_dict` wrote. Raises `ValueError` for anything else."""
        made = cls(
            approvers=_texts(found.get("approvers", [])),
            not_requester=found.get("not") == "requester",
            quorum=_whole(found.get("quorum")),
            expires=_whole(found.get("expires")),
            escalate=Escalation.from_dict(found["escalate"]) if "escalate" in found else None,
            rows=_ROWS[rows] if isinstance(rows := found.get("rows"), str) and rows in _ROWS else None,
            assurance=_ASSURANCES.get(str(found.get("assurance"))),
            confirm=found.get("confirm") == REQUESTER,
            limits=tuple(read(text) for kind, read in _LIMITS.items() for text in _texts(found.get(kind, []))),
            redact=_texts(found.get("redact", [])),
        )
        if made.as_dict() != found:
            raise ValueError("obligations of the guard are expected")
        return made


@dataclass(frozen=True, slots=True)
class AskedNow:
    """What policy asks for at the moment an approval is used, whatever it asked for when people were asked.

    `roles` gives who somebody is by the policy's own links: what a credential of theirs claimed is not kept.
    """

    then: Obligations
    roles: Callable[[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """One question to the policy. `now` is an input, so that a decision can be replayed.

    `arguments` is `None` where the act has none (`list`), so a condition that asks for one fails. `seen` are the labels
    of what was returned to whoever asks; it is `None` where nobody looked, and then a condition that asks for it fails.
    `spent` is what the subject spent, by `UNIT_today` and `UNIT_month`, as far as somebody looked.
    """

    principal: Principal
    act: Act
    tool: str
    now: datetime
    arguments: Mapping[str, object] | None = None
    environment: Mapping[str, object] = field(default_factory=lambda: _EMPTY)
    seen: frozenset[str] | None = None
    spent: Mapping[str, int | float] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer of the policy. One without a rule and a reason cannot be constructed.

    `policy` is the version (sha256, hex) of the snapshot that decided.
    """

    effect: Effect
    rule: str
    reason: str
    policy: str
    then: Obligations = Obligations()

    def __post_init__(self) -> None:
        if not self.rule or not self.reason or not self.policy:
            raise ValueError("a decision needs a rule, a reason and the policy version that made it")

    @property
    def allowed(self) -> bool:
        return self.effect is Effect.ALLOW

    def as_record(self) -> dict[str, object]:
        """The `decision` field of an audit record."""
        record: dict[str, object] = {
            "effect": self.effect.value,
            "rule": self.rule,
            "reason": self.reason,
            "policy": self.policy,
        }
        if then := self.then.as_dict():
            record["then"] = then
        return record

    def as_told(self) -> dict[str, object]:
        """What concerns whoever is decided about (`model.disclosure` says how much of it they are told)."""
        return {name: value for name, value in self.as_record().items() if name != "policy"}

    @classmethod
    def from_record(cls, record: Mapping[str, object]) -> "Decision":
        """What `as_record` wrote; further keys are somebody else's. Raises `ValueError` for anything else."""
        then = record.get("then", {})
        if not isinstance(then, dict):
            raise ValueError("obligations are a mapping")
        effect, rule, reason, policy = (record.get(name) for name in ("effect", "rule", "reason", "policy"))
        if not (isinstance(rule, str) and isinstance(reason, str) and isinstance(policy, str)):
            raise ValueError("a decision names its rule, its reason and its policy")
        return cls(Effect(str(effect)), rule, reason, policy, Obligations.from_dict(then))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts is expected")
    return tuple(value)


def _whole(value: object) -> int | None:
    if value is not None and type(value) is not int:
        raise ValueError("a whole number is expected")
    return value


def scope_decision(needed: frozenset[str], principal: Principal, policy: str) -> Decision | None:
    """The denial of a principal who does not hold every needed scope, or `None`."""
    missing = needed - principal.scopes
    if not missing:
        return None
    reason = f"the principal does not hold the scope {' '.join(sorted(missing))}"
    return Decision(Effect.DENY, RULE_SCOPE, reason, policy)

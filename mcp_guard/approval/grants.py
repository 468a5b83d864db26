"""Grants: leave of a person for a few further calls like one they approved, and what exactly is like it.

A grant stands in for the people and for nothing else: policy is asked about every call, and has to ask for the same
approval by the same rule.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mcp_guard.approval.summary import masked, named, quoted
from mcp_guard.kit import strict_json
from mcp_guard.model.decision import Decision, Effect, Obligations
from mcp_guard.model.principal import Principal

LONGEST_S = 86_400
MOST_USES = 100
KNOWN = frozenset({"approvers", "not", "quorum", "expires", "escalate"})
"""What a rule may oblige to where a grant stands in for the people. Whatever else it asks for, people are asked."""


class NotGranted(Exception):
    """The grant is used up, revoked or over, or is none any more."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What calls have in common that one grant may cover: tool and what it executes, who asks through whom and how
    they are known, and the rule that wants people with whom it wants."""

    tool: str
    fingerprint: str
    subject: str
    client: str
    tenant: str
    chain: tuple[str, ...]
    assurance: str
    rule: str
    approvers: tuple[str, ...]
    not_requester: bool

    @classmethod
    def of(cls, who: Principal, tool: str, fingerprint: str, decision: Decision) -> "Likeness | None":
        """Of a call policy decided about; `None` where no grant may stand in for the people it asks for."""
        then = decision.then
        if decision.effect is not Effect.REQUIRE_APPROVAL or not may_stand_in(then):
            return None
        return cls(
            tool,
            fingerprint,
            who.subject,
            who.client,
            who.tenant,
            who.chain,
            who.assurance,
            decision.rule,
            then.approvers,
            then.not_requester,
        )

    def as_json(self) -> list[object]:
        return [
            self.tool,
            self.fingerprint,
            self.subject,
            self.client,
            self.tenant,
            list(self.chain),
            self.assurance,
            self.rule,
            list(self.approvers),
            self.not_requester,
        ]


def may_stand_in(then: Obligations) -> bool:
    """Whether one person's leave is all that a rule asks for."""
    return not then.as_dict().keys() - KNOWN and (then.quorum or 1) == 1


@dataclass(frozen=True, slots=True)
class Grant:
    """`by` lets calls of a likeness go ahead, `uses` times until `until` (unix µs, like `created_at`).

    `arguments` are those of the call that was approved. Those in `varies` may differ as `admits` says, the others not.
    `sensitive` are JSON pointers to what of them is shown to nobody.
    """

    id: str
    approval: str
    like: Likeness
    arguments: Mapping[str, object]
    varies: tuple[str, ...]
    sensitive: tuple[str, ...]
    uses: int
    created_at: int
    until: int
    by: Principal

    def admits(self, like: Likeness, arguments: Mapping[str, object]) -> bool:
        """Whether a call is one of those that go ahead.

        No argument more or less, and every value the very same, to the character and to the type. One in `varies` may
        be another text in place of a text, and in place of a number one between zero and what was approved.
        """
        if like != self.like or arguments.keys() != self.arguments.keys():
            return False
        return all(
            within(self.arguments[name], value) if name in self.varies else same(self.arguments[name], value)
            for name, value in arguments.items()
        )

    def sentence(self) -> str:
        """All that it admits, on one line for whoever is about to grant it."""
        like, shown = self.like, masked(self.arguments, self.sensitive)
        through = " on behalf of ".join((like.client, *like.chain))
        until = datetime.fromtimestamp(self.until // 1_000_000, UTC).isoformat(timespec="seconds")
        parts = [f"{named(name)} {self._admitted(name, value)}" for name, value in sorted(shown.items())]
        calls = "call" if self.uses == 1 else "calls"
        return (
            f"up to {self.uses} further {calls} of {like.tool} by {like.subject} through {through} in {like.tenant}"
            f" until {until}, with {'; '.join(parts) or 'no arguments'}"
        )

    def _admitted(self, name: str, shown: object) -> str:
        if name not in self.varies:
            return f"exactly {quoted(shown)}"
        if isinstance(self.arguments[name], str):
            return "any text the tool takes"
        return f"from 0 to {quoted(shown)}"

    def as_bytes(self) -> bytes:
        return strict_json.dumps(
            {
                "id": self.id,
                "approval": self.approval,
                "like": self.like.as_json(),
                "args": dict(self.arguments),
                "varies": list(self.varies),
                "sensitive": list(self.sensitive),
                "uses": self.uses,
                "created_at": self.created_at,
                "until": self.until,
                "by": self.by.as_kept(),
            }
        )

    @classmethod
    def of_bytes(cls, data: bytes) -> "Grant":
        found = strict_json.loads(data)
        assert isinstance(found, dict)
        tool, fingerprint, subject, client, tenant, chain, assurance, rule, approvers, not_requester = found["like"]
        return cls(
            id=found["id"],
            approval=found["approval"],
            like=Likeness(
                tool,
                fingerprint,
                subject,
                client,
                tenant,
                tuple(chain),
                assurance,
                rule,
                tuple(approvers),
                not_requester,
            ),
            arguments=found["args"],
            varies=tuple(found["varies"]),
            sensitive=tuple(found["sensitive"]),
            uses=found["uses"],
            created_at=found["created_at"],
            until=found["until"],
            by=Principal.of_kept(found["by"]),
        )


def same(approved: object, value: object) -> bool:
    """Whether two JSON values are the very same: 1 is neither 1.0 nor true, and a text has its hidden characters."""
    return strict_json.dumps(approved) == strict_json.dumps(value)


def within(approved: object, value: object) -> bool:
    """Whether a value may stand where another was approved that may vary."""
    if isinstance(approved, str):
        return isinstance(value, str)
    if not (_is_number(approved) and _is_number(value)):
        return False
    assert isinstance(approved, int | float)
    assert isinstance(value, int | float)
    return 0 <= value <= approved or approved <= value <= 0


def numbers_of(arguments: Mapping[str, object], fixed: Collection[str]) -> tuple[str, ...]:
    """The arguments that are numbers, but for those that are `fixed`."""
    return tuple(sorted(name for name, value in arguments.items() if _is_number(value) and name not in fixed))


def can_vary(value: object) -> bool:
    """Whether there is a rule for how a value may differ: of texts and numbers only."""
    return isinstance(value, str) or _is_number(value)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)

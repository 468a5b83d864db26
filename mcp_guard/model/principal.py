"""Who is acting: a person or service, the agent acting for them, and how we know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

Auth = Literal["local", "bearer", "oidc", "signature"]
Assurance = Literal["declared", "token", "oidc", "signed"]
ASSURANCES: tuple[Assurance, ...] = get_args(Assurance)
"""From the weakest to the strongest."""

_NO_ATTRIBUTES: Mapping[str, object] = MappingProxyType({})


def is_assured(found: str, wanted: str) -> bool:
    """Whether somebody known by the assurance `found` is known as surely as `wanted` says; empty wants nothing."""
    known: tuple[str, ...] = ASSURANCES
    return not wanted or (found in known and wanted in known and known.index(found) >= known.index(wanted))


@dataclass(frozen=True, slots=True)
class Principal:
    """The identity on every call.

    `subject` is the human or service (`user:` or `service:`), `client` the agent (`agent:`) acting for them.
    `scopes` is the effective set: the principal's own (or what an OAuth grant gave), narrowed by the token presented.
    `roles` holds only roles claimed by the credential; standing roles live in the policy.
    `chain` lists further hops of a delegation, nearest first. `software` is what the client program calls itself:
    kept with the record, believed by nobody. `token` is the id of the token of our own they were known by, if any:
    it is kept with what outlives the call, and stands in no record.
    """

    subject: str
    client: str
    tenant: str
    auth: Auth
    assurance: Assurance
    scopes: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=lambda: _NO_ATTRIBUTES)
    chain: tuple[str, ...] = ()
    software: str = ""
    token: str = ""

    def using(self, software: str) -> "Principal":
        """The same principal through a client program. Written out: `replace` costs twice as much, on every call."""
        return Principal(
            self.subject,
            self.client,
            self.tenant,
            self.auth,
            self.assurance,
            self.scopes,
            self.roles,
            self.attributes,
            self.chain,
            software,
            self.token,
        )

    def as_kept(self) -> dict[str, object]:
        """All of it, for a row under seal."""
        return {
            "sub": self.subject,
            "via": self.client,
            "tenant": self.tenant,
            "auth": self.auth,
            "assurance": self.assurance,
            "scopes": sorted(self.scopes),
            "roles": sorted(self.roles),
            "attributes": dict(self.attributes),
            "chain": list(self.chain),
            "software": self.software,
            **({"token": self.token} if self.token else {}),
        }

    @classmethod
    def of_kept(cls, found: Mapping[str, Any]) -> "Principal":
        """What `as_kept` wrote."""
        return cls(
            subject=found["sub"],
            client=found["via"],
            tenant=found["tenant"],
            auth=found["auth"],
            assurance=found["assurance"],
            scopes=frozenset(found["scopes"]),
            roles=frozenset(found["roles"]),
            attributes=found["attributes"],
            chain=tuple(found["chain"]),
            software=found["software"],
            token=found.get("token", ""),
        )

    def as_actor(self) -> dict[str, object]:
        """The `actor` field of an audit record."""
        actor: dict[str, object] = {
            "sub": self.subject,
            "via": self.client,
            "tenant": self.tenant,
            "auth": self.auth,
            "assurance": self.assurance,
        }
        if self.chain:
            actor["chain"] = list(self.chain)
        if self.software:
            actor["software"] = self.software
        return actor

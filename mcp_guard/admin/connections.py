"""Connections as an operator sees them, and the end of one: here at once, and at its issuer where that takes part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from mcp_guard.admin.issuers import Issuers
from mcp_guard.admin.operator import operator
from mcp_guard.audit.journal import Journal
from mcp_guard.identity.oauth.connection import Connection, ConnectionStore, Moved
from mcp_guard.model.errors import Refused, UsageError
from mcp_guard.model.oauth import OAuthSpec
from mcp_guard.model.principal import Principal

AtIssuer = Literal["revoked", "not_offered", "failed", "unknown"]
"""What became of the tokens at their issuer; `unknown` where no manifest says any more how it is reached, or the tokens
cannot be read."""


@dataclass(frozen=True, slots=True)
class Connections:
    """Connection use-cases of an operator with access to the store."""

    store: ConnectionStore
    issuers: Issuers
    journal: Journal
    spec: Callable[[str], OAuthSpec | None]
    by: Principal = field(default_factory=operator)

    async def list(self, subject: str | None = None) -> Sequence[Connection]:
        """Every connection, by subject and upstream; perhaps only of one subject."""
        return await self.store.all(subject)

    async def revoke(self, name: str, subject: str | None) -> tuple[Connection, AtIssuer]:
        """End the connection of an id, or of an upstream and a subject. From now on no call uses it, in any process.

        Raises `UsageError` where there is none, or more than one.
        """
        found = await self._named(name, subject)
        state = {"what": "connection-revoked", "id": found.id, "upstream": found.upstream}
        try:
            await self.store.remove(found, self.journal.entry("config", state, self.by))
        except Moved:
            raise _nothing() from None
        return found, await self._at_issuer(found)

    async def _named(self, name: str, subject: str | None) -> Connection:
        found = [one for one in await self.store.all(subject) if name in (one.id, one.upstream)]
        if len(found) > 1:
            raise UsageError("More than one connection is meant.", hint="pass its id, or --subject")
        if not found:
            raise _nothing()
        return found[0]

    async def _at_issuer(self, connection: Connection) -> AtIssuer:
        spec, tokens = self.spec(connection.upstream), connection.tokens
        if spec is None or not tokens.access:
            return "unknown"
        try:
            endpoint = await self.issuers.tokens(spec, connection.issuer, connection.client_id)
        except Refused:
            return "failed"
        if endpoint.endpoints.revocation is None:
            return "not_offered"
        pairs = [("refresh_token", tokens.refresh), ("access_token", tokens.access)]
        done = [await endpoint.revoke(token, kind) for kind, token in pairs if token]
        return "revoked" if done[0] else "failed"


def _nothing() -> UsageError:
    return UsageError("There is no such connection.", hint="`mcp-guard connections list` shows them")

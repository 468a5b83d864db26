"""Access tokens of people who connected their account: found, renewed in time and one at a time, and ended when their
issuer says so. The connectors ask here at every call."""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from mcp_guard.admin.consenting import Consenting
from mcp_guard.audit.journal import Journal
from mcp_guard.identity.oauth.connection import LEASE_US, Connection, ConnectionStore, Moved
from mcp_guard.identity.oauth.tokens import GrantEnded, TokenEndpoint
from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import Refused
from mcp_guard.model.oauth import NotConnected, OAuthSpec
from mcp_guard.model.principal import Principal
from mcp_guard.secrets.redact import Redactor

SKEW_US: Final = 30_000_000
"""So long before its end a token is renewed: clocks differ, and a request takes time."""
POLL_SECONDS: Final = 0.05
WATCH_SECONDS: Final = 0.25
MOST_TAUGHT: Final = 256
"""Tokens that are redacted wherever they turn up, those handed out last, also once they were renewed: they may stand in
an answer that is under way, and count."""


@dataclass(slots=True)
class Connected:
    """What a call uses of connections (`connect.tokens.TokenSource`)."""

    store: ConnectionStore
    consenting: Consenting
    journal: Journal
    redactor: Redactor
    clock: Clock
    _flights: "dict[str, asyncio.Task[Connection]]" = field(default_factory=dict)
    _taught: "OrderedDict[str, None]" = field(default_factory=OrderedDict)

    async def require(self, who: Principal, spec: OAuthSpec) -> None:
        """Raises `NotConnected` for somebody without an account at the upstream."""
        if self._found(who, spec) is None:
            raise await self._refusal(who, spec)

    async def account(self, who: Principal, spec: OAuthSpec) -> str:
        """What tells the account from another one, also from one that is connected later. Raises `NotConnected`."""
        found = self._found(who, spec)
        if found is None:
            raise await self._refusal(who, spec)
        return found.id

    async def token(self, who: Principal, spec: OAuthSpec, account: str = "") -> str:
        """An access token of theirs that is good for a while, perhaps only of one `account`. Raises `NotConnected`,
        `Refused`, `StoreUnavailable`."""
        found = await self._wanted(who, spec, account)
        until = found.tokens.until
        if until and until - SKEW_US <= self.clock.now_us():
            found = await self._renewed(who, spec, found, account)
        return self._handed_out(found)

    async def renewed(self, who: Principal, spec: OAuthSpec, refused: str, account: str = "") -> str:
        """Another token than one the upstream refused. Raises like `token`."""
        found = await self._wanted(who, spec, account)
        if found.tokens.access == refused:
            found = await self._renewed(who, spec, found, account)
        return self._handed_out(found)

    async def within(self, who: Principal, upstream: str, seconds: float) -> bool:
        """Whether they have an account there before so many seconds have passed, whichever process connects it."""
        spec, end = self.consenting.spec(upstream), self.clock.monotonic() + seconds
        if spec is None:
            return False
        while self._found(who, spec) is None:
            if self.clock.monotonic() > end:
                return False
            await asyncio.sleep(WATCH_SECONDS)
        return True

    async def aclose(self) -> None:
        """Let renewals that were begun end: their tokens are the only ones that count by then."""
        if flights := list(self._flights.values()):
            await asyncio.wait(flights)

    def _found(self, who: Principal, spec: OAuthSpec) -> Connection | None:
        """The connection, if it is for what the manifest means now."""
        found = self.store.find(who.subject, who.tenant, spec.upstream)
        if found is None or found.resource != spec.resource or spec.issuer not in ("", found.issuer):
            return None
        return found

    async def _wanted(self, who: Principal, spec: OAuthSpec, account: str) -> Connection:
        found = self._found(who, spec)
        if found is None or account not in ("", found.id):
            raise await self._refusal(who, spec, account)
        return found

    async def _refusal(self, who: Principal, spec: OAuthSpec, account: str = "") -> Refused:
        if account:  # asked for within a session, by a library that logs what goes wrong: a link is not for that
            return Refused("upstream_unavailable", "the account is not connected any more")
        return NotConnected(spec, await self.consenting.link(who, spec))

    async def _renewed(self, who: Principal, spec: OAuthSpec, found: Connection, account: str) -> Connection:
        """One renewal for all who wait; one who leaves does not end it."""
        flight = self._flights.get(found.id)
        if flight is None:
            flight = self._flights[found.id] = asyncio.create_task(self._renew(who, spec, found))
            flight.add_done_callback(lambda done: self._landed(found.id, done))
        try:
            return await asyncio.shield(flight)
        except Moved:
            raise await self._refusal(who, spec, account) from None

    def _landed(self, identifier: str, flight: "asyncio.Task[Connection]") -> None:
        self._flights.pop(identifier, None)
        if not flight.cancelled():
            flight.exception()  # seen: who waits tells it

    async def _renew(self, who: Principal, spec: OAuthSpec, found: Connection) -> Connection:
        """Raises `Moved` where the connection is over, and `Refused`."""
        other = await self._leased(who, spec, found)
        if other is not None:
            return other
        refresh = found.tokens.refresh
        if refresh is None:
            await self._end(who, found, "expired")
        assert refresh is not None, "ended"
        try:
            endpoint = await self.consenting.issuers.tokens(spec, found.issuer, found.client_id)
            tokens = await endpoint.refreshed(refresh, spec.resource, spec.scopes)
        except GrantEnded:
            await self._end(who, found, "invalid_grant")
        except Refused:
            await self.store.unlease(found)
            await self.journal.fault("connection_refresh", "connection", upstream=found.upstream, id=found.id)
            raise
        else:
            renewed = found.renewed(tokens)
            if not await self.store.renew(renewed):
                await _give_back(endpoint, renewed)
                raise Moved
            return renewed
        raise AssertionError("ended")

    async def _leased(self, who: Principal, spec: OAuthSpec, found: Connection) -> Connection | None:
        """`None` once it is this process's turn to renew; else what another one made of it. Raises `Moved`."""
        end = self.clock.monotonic() + 2 * LEASE_US / 1_000_000
        while not await self.store.lease(found, self.clock.now_us()):
            current = self._found(who, spec)
            if current is None or current.id != found.id or self.clock.monotonic() > end:
                raise Moved
            if current.version != found.version:
                return current
            await asyncio.sleep(POLL_SECONDS)
        return None

    async def _end(self, who: Principal, found: Connection, why: str) -> None:
        """The connection is over; it is on record. Raises `Moved`."""
        state = {"what": "connection-ended", "id": found.id, "upstream": found.upstream, "why": why}
        with suppress(Moved):
            await self.store.remove(found, self.journal.entry("config", state, who), as_it_is=True)
        raise Moved

    def _handed_out(self, connection: Connection) -> str:
        access = connection.tokens.access
        for token in (access, connection.tokens.refresh):
            if token is not None:
                self._teach(token)
        return access

    def _teach(self, token: str) -> None:
        if token in self._taught:
            self._taught.move_to_end(token)
            return
        if not self.redactor.learn(token):
            return  # it is secret for another reason too, and stays so
        self._taught[token] = None
        while len(self._taught) > MOST_TAUGHT:
            oldest, _ = self._taught.popitem(last=False)
            self.redactor.forget(oldest)


async def _give_back(endpoint: TokenEndpoint, connection: Connection) -> bool:
    """Have the issuer take tokens back. Whether it says that it did."""
    tokens = connection.tokens
    kind, token = ("refresh_token", tokens.refresh) if tokens.refresh else ("access_token", tokens.access)
    return await endpoint.revoke(token, kind)

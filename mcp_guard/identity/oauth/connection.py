"""Connections at rest: the tokens of one principal for one upstream, sealed to exactly that, and what people are asked
until they have some."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from mcp_guard.identity.oauth.tokens import Tokens
from mcp_guard.model.principal import Principal
from mcp_guard.secrets.vault import SealBroken, Vault
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction
from mcp_guard.store.values import Entry, Unit

PURPOSE: Final = "connections"
"""What the key of these rows is derived for."""
LEASE_US: Final = 30_000_000
"""How long whoever renews has for it; then another one may try."""


class Moved(Exception):
    """The row is not what it was: somebody else was first."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The account of a principal (`subject` in `tenant`, through whichever agent) at an upstream. `client_id` is whom
    the issuer gave the tokens to. `version` counts how often they were renewed."""

    id: str
    subject: str
    tenant: str
    upstream: str
    issuer: str
    resource: str
    created_at: int
    client_id: str
    tokens: Tokens
    version: int = 0

    @property
    def row(self) -> str:
        """What the sealed text is tied to: moved to another principal, upstream, issuer or time, it does not open."""
        tied = [self.id, self.subject, self.tenant, self.upstream, self.issuer, self.resource, self.version]
        return "connection\n" + json.dumps([*tied, self.created_at])

    def renewed(self, tokens: Tokens) -> "Connection":
        return replace(self, tokens=tokens, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class Consent:
    """What a principal was asked to agree to, until `until` (unix µs). `more` is what has to be remembered with it."""

    principal: Principal
    upstream: str
    resource: str
    until: int
    more: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """What a new connection comes from: the hash of a state that was claimed, and the id of the connection there was
    when its link was made, empty for none. It takes no other one's place."""

    state: str
    before: str


@dataclass(frozen=True, slots=True)
class ConnectionStore:
    """The tables `connection` and `consent`. Every method raises `StoreUnavailable`; a row whose seal is broken is as
    good as none."""

    store: Store
    vault: Callable[[], Vault]

    def find(self, subject: str, tenant: str, upstream: str) -> Connection | None:
        """The connection of a principal; a point look-up that never waits for a writer."""
        asked: Parameters = {"subject": subject, "tenant": tenant, "upstream": upstream}
        row = self.store.reader.peek("connection_of", asked)
        return None if row is None else self._opened(row)

    async def all(self, subject: str | None = None) -> Sequence[Connection]:
        """Every connection, perhaps only of one subject. One that does not open is listed without its tokens."""
        rows = await self.store.reader.all("connection_list", {"subject": subject})
        return [self._opened(row) or _closed(row) for row in rows]

    def connected(self, subject: str, tenant: str, upstream: str) -> str:
        """The id of what is kept for a principal, also where it does not open; empty for nothing."""
        row = self.store.reader.peek("connection_of", {"subject": subject, "tenant": tenant, "upstream": upstream})
        return "" if row is None else str(row[0])

    async def put(self, connection: Connection, note: Entry, claim: Claim | None = None) -> None:
        """Keep a new connection in the place of the principal's earlier one, with the record that says so. Raises
        `Moved` where the `claim` it comes from is gone by now, or there is another one."""
        row: Parameters = {**_columns(connection), "sealed": self._sealed(connection)}

        def work(tx: Transaction) -> None:
            asked = {name: row[name] for name in ("subject", "tenant", "upstream")}
            before = tx.one("connection_of", asked)
            if claim is not None:
                _redeem(tx, claim, "" if before is None else str(before[0]))
            if before is not None:
                _remove(tx, str(before[0]), None)
            tx.run("connection_insert", row)

        await self.store.writer.submit(Unit((note,), work=work))

    async def lease(self, connection: Connection, now: int) -> bool:
        """Whether the caller may renew it now, and nobody else for a while."""
        until = now + LEASE_US
        named: Parameters = {"id": connection.id, "version": connection.version}
        row = {**named, "now": now, "until": until, "latest": until}
        return await self._changed("connection_lease", row)

    async def unlease(self, connection: Connection) -> None:
        """Let others try again at once."""
        await self._changed("connection_unlease", {"id": connection.id, "version": connection.version})

    async def renew(self, renewed: Connection) -> bool:
        """Keep renewed tokens, unless the connection ended or was renewed meanwhile."""
        named: Parameters = {"id": renewed.id, "version": renewed.version - 1}
        row = {**named, "sealed": self._sealed(renewed)}
        return await self._changed("connection_renew", row)

    async def remove(self, connection: Connection, note: Entry, *, as_it_is: bool = False) -> None:
        """End a connection, with the record that says so; the tokens are overwritten where they lie. Raises `Moved`
        where it is gone, or `as_it_is` and it was renewed meanwhile. Else what the person was asked ends with it: an
        answer that is under way must not bring it back."""

        def work(tx: Transaction) -> None:
            _remove(tx, connection.id, connection.version if as_it_is else None)
            if not as_it_is:
                tx.run("consents_delete", {"subject": connection.subject})

        await self.store.writer.submit(Unit((note,), work=work))

    async def ask(self, kind: str, secret_hash: str, consent: Consent, now: int) -> None:
        """Remember what somebody was asked; what nobody came back for is forgotten."""
        kept = {
            "principal": consent.principal.as_kept(),
            "upstream": consent.upstream,
            "resource": consent.resource,
            "more": dict(consent.more),
        }
        subject, until = consent.principal.subject, consent.until
        sealed = self._vault().seal(json.dumps(kept).encode(), _consent_row(kind, secret_hash, subject, until))
        named: Parameters = {"hash": secret_hash, "kind": kind, "subject": subject}
        row = {**named, "until": until, "sealed": sealed}

        def work(tx: Transaction) -> None:
            tx.run("consents_past", {"now": now})
            tx.run("consent_insert", row)

        await self.store.writer.submit(Unit((), work=work))

    def asked(self, kind: str, secret_hash: str, now: int) -> Consent | None:
        """What somebody was asked, while it is to be answered."""
        row = self.store.reader.peek("consent_of", {"hash": secret_hash, "kind": kind})
        if row is None or not isinstance(row[1], int) or row[1] <= now or not isinstance(row[2], bytes):
            return None
        try:
            kept = json.loads(self._vault().open(row[2], _consent_row(kind, secret_hash, str(row[0]), row[1])))
        except SealBroken:
            return None
        return Consent(Principal.of_kept(kept["principal"]), kept["upstream"], kept["resource"], row[1], kept["more"])

    async def take(self, kind: str, secret_hash: str, now: int) -> Consent | None:
        """The same, for the one who comes first; nobody else has it any more."""
        found = self.asked(kind, secret_hash, now)
        if not await self._changed("consent_delete", {"hash": secret_hash, "kind": kind}):
            return None
        return found

    async def claim(self, state_hash: str, now: int) -> Consent | None:
        """What a state stands for, for the one who comes first. It stays, so that it can be taken away, until a
        connection is kept for it; nobody can come back with it any more."""
        found = self.asked("state", state_hash, now)
        if not await self._changed("consent_claim", {"hash": state_hash, "claimed": _claimed(state_hash)}):
            return None
        return found

    def fingerprint(self, token: str) -> str:
        """What a record may say of a token: a keyed digest, cut."""
        return self._vault().digest(token.encode())[:16]

    async def _changed(self, statement: str, row: Parameters) -> bool:
        def work(tx: Transaction) -> None:
            if tx.run(statement, row) != 1:
                raise Moved

        try:
            await self.store.writer.submit(Unit((), work=work))
        except Moved:
            return False
        return True

    def _vault(self) -> Vault:
        return Vault(self.vault().derived(PURPOSE))

    def _sealed(self, connection: Connection) -> bytes:
        tokens = connection.tokens
        kept = [connection.client_id, tokens.access, tokens.refresh, tokens.until]
        return self._vault().seal(json.dumps(kept).encode(), connection.row)

    def _opened(self, row: Row) -> Connection | None:
        closed = _closed(row)
        try:
            sealed = row[8] if isinstance(row[8], bytes) else b""
            client_id, access, refresh, until = json.loads(self._vault().open(sealed, closed.row))
        except SealBroken:
            return None
        return replace(closed, client_id=client_id, tokens=Tokens(access, refresh, until))


def _closed(row: Row) -> Connection:
    identifier, subject, tenant, upstream, issuer, resource, created_at, version, _ = row
    return Connection(
        str(identifier),
        str(subject),
        str(tenant),
        str(upstream),
        str(issuer),
        str(resource),
        int(str(created_at)),
        client_id="",
        tokens=Tokens("", None, 0),
        version=int(str(version)),
    )


def _columns(connection: Connection) -> dict[str, str | int]:
    names = ("id", "subject", "tenant", "upstream", "issuer", "resource", "created_at", "version")
    return {name: getattr(connection, name) for name in names}


def _consent_row(kind: str, secret_hash: str, subject: str, until: int) -> str:
    return f"consent\n{json.dumps([kind, secret_hash, subject, until])}"


def _claimed(state_hash: str) -> str:
    return f"claimed/{state_hash}"


def _redeem(tx: Transaction, claim: Claim, before: str) -> None:
    if tx.run("consent_delete", {"hash": _claimed(claim.state), "kind": "state"}) != 1 or before != claim.before:
        raise Moved


def _remove(tx: Transaction, identifier: str, version: int | None) -> None:
    if tx.run("connection_overwrite", {"id": identifier, "version": version}) != 1:
        raise Moved
    tx.run("connection_delete", {"id": identifier})

"""People connect their account at an upstream: from the link a refused call carries to tokens that are kept.

The link (ticket) is good once, for a short while, for the principal that was refused. Whoever opens it is shown whose
account is asked for before anything happens; the browser that begins is the one that has to come back; what it comes
back with is held against what was asked (state, issuer, PKCE). Both secrets are kept as hashes only.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from secrets import token_hex
from typing import Any, Final

from mcp_guard.admin.issuers import Issuers
from mcp_guard.audit.journal import Journal
from mcp_guard.identity.oauth import flow
from mcp_guard.identity.oauth.connection import Claim, Connection, ConnectionStore, Consent, Moved
from mcp_guard.identity.oauth.flow import Authorization, Unanswered
from mcp_guard.identity.oauth.metadata import Endpoints
from mcp_guard.identity.oauth.tokens import GrantEnded
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.web import is_loopback
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.oauth import ConsentLink, OAuthSpec
from mcp_guard.model.principal import Principal

CONNECT_PATH: Final = "/oauth/connect/"
CALLBACK_PATH: Final = "/oauth/callback"
CLIENT_PATH: Final = "/oauth/client.json"
STATE_US: Final = 600_000_000
"""How long somebody may take at the issuer."""
MOST_LINKS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Shown:
    """What whoever opens a link is told before anything happens."""

    subject: str
    client: str
    tenant: str
    upstream: str
    resource: str
    scopes: tuple[str, ...]
    endpoints: Endpoints


@dataclass(slots=True)
class Consenting:
    """`public` is where browsers reach this home, as it says itself; `base` where they reach this process, none while
    it has no pages. `spec` says what a manifest in force says of an upstream; a link is good for `link_us`, and for
    nobody who is `stopped` meanwhile: frozen, or known by a token that is revoked."""

    store: ConnectionStore
    issuers: Issuers
    journal: Journal
    clock: Clock
    spec: Callable[[str], OAuthSpec | None]
    link_us: int
    stopped: Callable[[Principal], bool]
    public: str | None = None
    base: str | None = None
    _links: dict[tuple[object, ...], tuple[str, ConsentLink]] = field(default_factory=dict)

    def listens(self, host: str, port: int) -> None:
        """This process shows pages from now on; on loopback its own address will do."""
        here = f"http://{f'[{host}]' if ':' in host else host}:{port}" if is_loopback(host) else None
        self.base = self.public or here

    async def link(self, principal: Principal, spec: OAuthSpec) -> ConsentLink | None:
        """Where this principal can connect an account. The same one while it is good, so that a client that calls
        again and again fills no table. Raises `StoreUnavailable`."""
        if self.base is None:
            return None
        who = (principal.subject, principal.tenant, principal.client, principal.chain, principal.token)
        now, key = self.clock.now_us(), (*who, spec.upstream)
        known = self._links.get(key)
        if known is not None and known[1].until - now > self.link_us // 2 and self._is_open(*known, now):
            return known[1]
        ticket, until = flow.new_secret(), now + self.link_us
        before = self.store.connected(principal.subject, principal.tenant, spec.upstream)
        consent = Consent(principal, spec.upstream, spec.resource, until, {"before": before})
        await self.store.ask("ticket", flow.hashed(ticket), consent, now)
        link = ConsentLink(spec.upstream, f"{self.base}{CONNECT_PATH}{ticket}", until)
        if len(self._links) >= MOST_LINKS:
            self._links.clear()
        self._links[key] = flow.hashed(ticket), link
        return link

    async def shown(self, ticket: str) -> Shown:
        """What a link is for. Nothing is used up: programs look at links too. Raises `Unanswered` and `Refused`."""
        consent = self._asked(ticket)
        spec = self._spec(consent)
        who = consent.principal
        endpoints = await self.issuers.endpoints(spec)
        return Shown(who.subject, who.client, who.tenant, spec.upstream, spec.resource, spec.scopes, endpoints)

    async def begin(self, ticket: str, browser: str) -> str:
        """Use a link up: where the browser is sent. Raises `Unanswered` and `Refused`."""
        assert self.base is not None, "who shows a page knows its address"
        spec = self._spec(self._asked(ticket))
        endpoints = await self.issuers.endpoints(spec)
        client_id = await self.issuers.client_id(spec, endpoints)
        now = self.clock.now_us()
        consent = await self.store.take("ticket", flow.hashed(ticket), now)
        if consent is None:
            raise Unanswered("ticket")
        asked = Authorization(endpoints, client_id, f"{self.base}{CALLBACK_PATH}", flow.new_secret())
        state = flow.new_secret()
        more = {"browser": flow.hashed(browser), "asked": asdict(asked), **consent.more}
        waiting = Consent(consent.principal, consent.upstream, consent.resource, now + STATE_US, more)
        await self.store.ask("state", flow.hashed(state), waiting, now)
        return asked.address(state, spec.resource, spec.scopes)

    async def finish(self, query: bytes, browser: str) -> Connection:
        """What a browser came back with, made an account that is connected. A state counts once, whatever came with it.

        Raises `Unanswered`, `Refused` and `StoreUnavailable`.
        """
        answer = flow.read_answer(query)
        state = answer.get("state", "")
        if not flow.is_secret(state):
            raise Unanswered("state")
        consent = await self.store.claim(flow.hashed(state), self.clock.now_us())
        if consent is None:
            raise Unanswered("state")
        if not flow.same(consent.more["browser"], flow.hashed(browser)):
            raise Unanswered("browser")
        spec, asked = self._spec(consent), _authorization(consent.more["asked"])
        if spec.issuer and spec.issuer != asked.endpoints.issuer:
            raise Unanswered("manifest")
        claim = Claim(flow.hashed(state), consent.more["before"])
        return await self._redeem(consent, spec, asked, asked.code(answer), claim)

    async def _redeem(
        self, consent: Consent, spec: OAuthSpec, asked: Authorization, code: str, claim: Claim
    ) -> Connection:
        endpoint = await self.issuers.at(spec, asked.endpoints, asked.client_id)
        try:
            tokens = await endpoint.redeem(asked, code, spec.resource, spec.scopes)
        except GrantEnded:
            raise Unanswered("code") from None
        who = consent.principal
        connection = Connection(
            id=token_hex(8),
            subject=who.subject,
            tenant=who.tenant,
            upstream=spec.upstream,
            issuer=asked.endpoints.issuer,
            resource=spec.resource,
            created_at=self.clock.now_us(),
            client_id=asked.client_id,
            tokens=tokens,
        )
        state = {
            "what": "connected",
            "id": connection.id,
            "upstream": connection.upstream,
            "issuer": connection.issuer,
            "fp": self.store.fingerprint(tokens.refresh or tokens.access),
        }
        try:
            await self.store.put(connection, self.journal.entry("config", state, who), claim)
        except (StoreUnavailable, Moved) as error:  # nobody will ever use them
            await endpoint.revoke(
                tokens.refresh or tokens.access, "refresh_token" if tokens.refresh else "access_token"
            )
            if isinstance(error, Moved):
                raise Unanswered("ended") from None
            raise
        return connection

    def _asked(self, ticket: str) -> Consent:
        if not flow.is_secret(ticket):
            raise Unanswered("ticket")
        consent = self.store.asked("ticket", flow.hashed(ticket), self.clock.now_us())
        if consent is None:
            raise Unanswered("ticket")
        return consent

    def _is_open(self, ticket_hash: str, link: ConsentLink, now: int) -> bool:
        consent = self.store.asked("ticket", ticket_hash, now)
        if consent is None:
            return False
        who = consent.principal
        return bool(consent.more["before"] == self.store.connected(who.subject, who.tenant, link.upstream))

    def _spec(self, consent: Consent) -> OAuthSpec:
        """What the manifests say of the upstream now. Raises `Unanswered` where that is another one than was asked for:
        nobody agreed to that; and where whoever was asked is stopped, whose links must not outlive that."""
        if self.stopped(consent.principal):
            raise Unanswered("stopped")
        spec = self.spec(consent.upstream)
        if spec is None or spec.resource != consent.resource:
            raise Unanswered("manifest")
        return spec


def _authorization(kept: Mapping[str, Any]) -> Authorization:
    return Authorization(**{**kept, "endpoints": Endpoints(**kept["endpoints"])})


def client_document(name: str, base: str) -> Mapping[str, object]:
    """The guard's client metadata (draft-ietf-oauth-client-id-metadata-document): its address is the client id. The
    loopback address is for `connections connect`, whatever its port is (RFC 8252 section 7.3)."""
    return {
        "client_id": f"{base}{CLIENT_PATH}",
        "client_name": name,
        "redirect_uris": [f"{base}{CALLBACK_PATH}", f"http://127.0.0.1{CALLBACK_PATH}"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    }

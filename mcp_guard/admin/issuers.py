"""The issuers of upstreams: found, asked what they are, and remembered for a while."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from mcp_guard.identity.issuer import Fetch
from mcp_guard.identity.oauth.metadata import Challenge, Endpoints, endpoints_of, issuer_of
from mcp_guard.identity.oauth.tokens import Client, Post, TokenEndpoint
from mcp_guard.kit import references
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.references import Reference
from mcp_guard.model.errors import Refused
from mcp_guard.model.oauth import OAuthSpec

FRESH_SECONDS: Final = 600.0
MOST_KNOWN: Final = 256


class Reach(Protocol):
    """The way to an upstream and its issuer: through the guarded client, to private networks only where the manifest
    names them."""

    @property
    def get(self) -> Fetch:
        """The body of a successful GET."""
        ...

    @property
    def challenge(self) -> Challenge:
        """What a GET without credentials is asked for."""
        ...

    @property
    def post_form(self) -> Post:
        """Status and body of what a form is answered with."""
        ...


@dataclass(frozen=True, slots=True)
class Issuers:
    """`document` is the address of the guard's own client metadata, where it has one that an issuer can read."""

    reach: Callable[[tuple[str, ...]], Reach]
    resolve: Callable[[Reference], Awaitable[str]]
    document: Callable[[], str | None]
    clock: Clock
    _known: dict[tuple[str, tuple[str, ...]], tuple[float, Endpoints]] = field(default_factory=dict)
    _named: dict[tuple[str, tuple[str, ...]], tuple[float, str]] = field(default_factory=dict)

    async def endpoints(self, spec: OAuthSpec) -> Endpoints:
        """The endpoints of the upstream's issuer. Raises `Refused`, also where nobody but the upstream names it and it
        does not promise to name itself: an upstream that turned evil could name an issuer that sends browsers on to
        another one, whose code then comes back without a name (mix-up, RFC 9700 section 4.4)."""
        found = await self._endpoints(spec, spec.issuer or await self._issuer(spec))
        if not spec.issuer and not found.says_issuer:
            why = "its issuer does not name itself in its answers (RFC 9207), and the manifest does not name it either"
            raise Refused("upstream_unavailable", f"the account cannot be connected: {why}")
        return found

    async def client_id(self, spec: OAuthSpec, endpoints: Endpoints) -> str:
        """How the issuer knows the guard. Raises `Refused`."""
        if spec.client_id:
            return spec.client_id
        document = self.document() if endpoints.reads_documents else None
        if document is None:
            why = "the manifest names no client_id" + (
                ", and this server has no public address" if endpoints.reads_documents else ", and the issuer needs one"
            )
            raise Refused("upstream_unavailable", f"the account cannot be connected: {why}")
        return document

    async def tokens(self, spec: OAuthSpec, issuer: str, client_id: str) -> TokenEndpoint:
        """The token endpoint of an issuer, as the client it gave tokens to. Raises `Refused`."""
        endpoints = await self._endpoints(spec, issuer)
        return await self.at(spec, endpoints, client_id)

    async def at(self, spec: OAuthSpec, endpoints: Endpoints, client_id: str) -> TokenEndpoint:
        """The same, of endpoints that are known."""
        secret = None
        if spec.client_secret is not None:
            (part,) = references.parse(spec.client_secret)
            assert isinstance(part, Reference), "the manifest accepts nothing else"
            secret = await self.resolve(part)
        return TokenEndpoint(
            endpoints, Client(client_id, secret), self.reach(spec.networks).post_form, self.clock.now_us
        )

    async def _issuer(self, spec: OAuthSpec) -> str:
        """The issuer that the upstream names, the same for a while: the one a page showed is the one its button leads
        to."""
        key, now = (spec.resource, spec.networks), self.clock.monotonic()
        named = self._named.get(key)
        if named is not None and now - named[0] < FRESH_SECONDS:
            return named[1]
        way = self.reach(spec.networks)
        found = await issuer_of(spec.resource, spec.resource, way.get, way.challenge)
        if len(self._named) >= MOST_KNOWN:
            self._named.clear()
        self._named[key] = now, found
        return found

    async def _endpoints(self, spec: OAuthSpec, issuer: str) -> Endpoints:
        key, now = (issuer, spec.networks), self.clock.monotonic()
        known = self._known.get(key)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        found = await endpoints_of(issuer, self.reach(spec.networks).get)
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key] = now, found
        return found

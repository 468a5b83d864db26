"""From the settings of `identity` to what knows callers by access tokens, and what is made out to upstreams."""

from collections.abc import Awaitable, Callable
from functools import partial
from types import MappingProxyType

from mcp_guard.config.home import Home
from mcp_guard.config.settings import Oidc, Settings
from mcp_guard.identity.access_token import AccessTokens
from mcp_guard.identity.call_key import load_or_make
from mcp_guard.identity.call_token import CallTokens
from mcp_guard.identity.claims import ClaimMap
from mcp_guard.identity.directory import Directory
from mcp_guard.identity.exchange import Exchange, PostForm
from mcp_guard.identity.issuer import Fetch, Issuer
from mcp_guard.identity.jwks import KeyCache
from mcp_guard.identity.jwt import Expected
from mcp_guard.identity.outward import OutwardCredentials
from mcp_guard.identity.protected_resource import ProtectedResource
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.references import Reference, parse

Resolve = Callable[[Reference], Awaitable[str]]


def resource_of(settings: Settings) -> ProtectedResource | None:
    """The guard as a protected resource, where it has an issuer."""
    oidc = settings.identity.oidc
    if oidc.issuer is None or oidc.audience is None:
        return None
    return ProtectedResource(settings.name, oidc.audience, oidc.issuer, oidc.scopes)


def access_tokens_of(
    settings: Settings, directory: Callable[[], Directory], fetch: Fetch, clock: Clock
) -> AccessTokens | None:
    """What judges access tokens, where there is an issuer. Nothing is fetched before the first one."""
    oidc, resource = settings.identity.oidc, resource_of(settings)
    if resource is None:
        return None
    expected = Expected(resource.issuer, resource.resource, frozenset(oidc.algorithms), frozenset(oidc.types))
    keys = KeyCache(Issuer(resource.issuer, oidc.jwks, fetch).key_set, clock)
    return AccessTokens(expected, keys, claim_map_of(oidc), directory, clock)


def claim_map_of(oidc: Oidc) -> ClaimMap:
    """Which claim says what."""
    return ClaimMap(
        subject=oidc.claims.subject,
        tenant=oidc.claims.tenant,
        roles=oidc.claims.roles,
        scopes=oidc.claims.scopes,
        client=oidc.claims.client,
        subject_prefix=oidc.subject_prefix,
        actor_prefix=oidc.actor_prefix,
        tenant_default=oidc.tenant,
        clients=MappingProxyType({client.id: client.name for client in oidc.clients}),
    )


def credentials_of(home: Home, resolve: Resolve, post: PostForm, clock: Clock) -> OutwardCredentials:
    """What makes credentials out to upstreams. Makes the home's signing key; raises `Invalid` for one that is none."""
    resource, exchange = resource_of(home.settings), home.settings.identity.oidc.exchange
    issuer = resource.origin if resource else f"urn:mcp-guard:{home.settings.name}"
    tokens = CallTokens(load_or_make(home.keys), issuer, clock)
    if exchange.token_endpoint is None or exchange.client_id is None or exchange.client_secret is None:
        return OutwardCredentials(tokens)
    (secret,) = parse(exchange.client_secret)
    assert isinstance(secret, Reference), "the settings accept nothing else"
    return OutwardCredentials(
        tokens, Exchange(exchange.token_endpoint, exchange.client_id, partial(resolve, secret), tokens, post)
    )

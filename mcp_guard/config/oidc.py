"""From the settings of `identity.oidc` to the values identity works with."""

from types import MappingProxyType

from mcp_guard.config.settings import Oidc, Settings
from mcp_guard.identity.claims import ClaimMap
from mcp_guard.identity.jwt import Expected
from mcp_guard.identity.protected_resource import ProtectedResource


def resource_of(settings: Settings) -> ProtectedResource | None:
    """The guard as a protected resource, where it has an issuer."""
    oidc = settings.identity.oidc
    if oidc.issuer is None or oidc.audience is None:
        return None
    return ProtectedResource(settings.name, oidc.audience, oidc.issuer, oidc.scopes)


def expected_of(oidc: Oidc, resource: ProtectedResource) -> Expected:
    """What an access token must be."""
    return Expected(resource.issuer, resource.resource, frozenset(oidc.algorithms), frozenset(oidc.types))


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

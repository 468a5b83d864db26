"""From the claims of a verified access token to a principal. Pure.

Whatever a claim says is a name inside its own kind only: a subject can never become a role or an agent, a client never
a person, and a name that is not plain text of ours (`[A-Za-z0-9][A-Za-z0-9._@+-]*`) is no name at all, so that two
names that look alike cannot meet.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from mcp_guard.identity.directory import Directory, Profile, is_principal_name, is_scope, is_tenant_name
from mcp_guard.identity.jwt import Claims
from mcp_guard.identity.refusal import TokenRefused
from mcp_guard.kit import pointer
from mcp_guard.model.principal import Principal

MAX_HOPS: Final = 8
"""How deep a delegation may be nested."""

SubjectPrefix = Literal["user:", "service:", ""]
ActorPrefix = Literal["agent:", "service:", "user:", ""]

_AGENT: Final = "agent:"
_ROLE = re.compile(r"role:[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}")
_CLIENT_CLAIMS: Final = ("client_id", "azp")  # RFC 9068 section 2.2, OpenID Connect Core section 2


@dataclass(frozen=True, slots=True)
class ClaimMap:
    """Which claim says what. A claim is named by its name or, from a leading slash on, by a JSON pointer.

    `client` None means `client_id` or `azp`. An empty prefix means that the issuer's names carry their own. `tenant_
    default` is for tokens without a tenant; `clients` gives agents their names where a client id is none, as URLs are.
    """

    subject: str = "sub"
    tenant: str = "org"
    roles: str = "roles"
    scopes: str = "scope"
    client: str | None = None
    subject_prefix: SubjectPrefix = "user:"
    actor_prefix: ActorPrefix = "agent:"
    tenant_default: str | None = None
    clients: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def principal_of(claims: Claims, names: ClaimMap, directory: Directory) -> Principal:
    """The principal of verified claims. Raises `TokenRefused` where they do not name one.

    The scopes of a principal the home lists are those it holds there and was granted; of any other, the grant's.
    """
    client_id = _client_id(claims, names)
    client = _agent(client_id, names)
    subject = _subject(claims, names, client_id)
    profile = directory.profiles.get(subject)
    granted = _scopes(claims, names)
    return Principal(
        subject=subject,
        client=client,
        tenant=_tenant(claims, names, profile),
        auth="oidc",
        assurance="oidc",
        scopes=granted if profile is None else granted & profile.scopes,
        roles=_roles(claims, names),
        attributes=directory.profile(subject).attributes,
        chain=_chain(claims, names, client),
    )


def _claim(claims: Claims, name: str) -> object:
    """The value of a claim, `None` where it is absent."""
    if not name.startswith("/"):
        return claims.get(name)
    found = pointer.get(claims, name)
    return None if found is pointer.MISSING else found


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TokenRefused("claims")
    return value


def _named(name: str, kinds: tuple[str, ...]) -> str:
    if not name.startswith(kinds) or not is_principal_name(name):
        raise TokenRefused("claims")
    return name


def _client_id(claims: Claims, names: ClaimMap) -> str:
    """Who the token was issued to. Two claims that disagree name nobody."""
    if names.client is not None:
        return _text(_claim(claims, names.client))
    said = {_text(claims[name]) for name in _CLIENT_CLAIMS if name in claims}
    if len(said) != 1:
        raise TokenRefused("claims")
    return said.pop()


def _agent(client_id: str, names: ClaimMap) -> str:
    return _named(names.clients.get(client_id) or _AGENT + client_id, (_AGENT,))


def _subject(claims: Claims, names: ClaimMap, client_id: str) -> str:
    """The person or service. A client that acts for itself (RFC 9068 section 2.2) is a service, whatever its id is:
    otherwise a client registered under somebody's name would be that person."""
    said = _text(_claim(claims, names.subject))
    if names.subject_prefix == "user:" and said == client_id:
        return _named(f"service:{said}", ("service:",))
    return _named(names.subject_prefix + said, ("user:", "service:"))


def _tenant(claims: Claims, names: ClaimMap, profile: Profile | None) -> str:
    """The tenant of the token, or of the home where the token has none. Where both say one, they agree."""
    known = profile.tenant if profile is not None else None
    said = _claim(claims, names.tenant)
    if said is None:
        said = known or names.tenant_default
    if not isinstance(said, str) or not is_tenant_name(said) or (known is not None and said != known):
        raise TokenRefused("tenant")
    return said


def _scopes(claims: Claims, names: ClaimMap) -> frozenset[str]:
    """A space-delimited text (RFC 9068 section 2.2.3), or a list as some issuers write it."""
    said = _claim(claims, names.scopes)
    items = said.split(" ") if isinstance(said, str) else _list(said)
    scopes = frozenset(item for item in items if item)
    if not all(map(is_scope, scopes)):
        raise TokenRefused("claims")
    return scopes


def _roles(claims: Claims, names: ClaimMap) -> frozenset[str]:
    """Claimed roles. What cannot be the name of a role cannot stand in a policy either, and says nothing."""
    said = (item if item.startswith("role:") else f"role:{item}" for item in _list(_claim(claims, names.roles)))
    return frozenset(role for role in said if _ROLE.fullmatch(role))


def _list(value: object) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TokenRefused("claims")
    return value


def _chain(claims: Claims, names: ClaimMap, client: str) -> tuple[str, ...]:
    """The actors of a delegation (RFC 8693 section 4.1), nearest first. The nearest is mostly the client itself, which
    `client` names already."""
    hops: list[str] = []
    actor = claims.get("act")
    while actor is not None:
        if len(hops) == MAX_HOPS or not isinstance(actor, Mapping) or not _is_ours(actor, claims):
            raise TokenRefused("delegation")
        hops.append(_actor(_text(actor.get("sub")), names))
        actor = actor.get("act")
    return tuple(hops[1:] if hops and hops[0] == client else hops)


def _is_ours(actor: Mapping[str, object], claims: Claims) -> bool:
    """An actor of another issuer has a name that means nothing here."""
    return actor.get("iss", claims.get("iss")) == claims.get("iss")


def _actor(said: str, names: ClaimMap) -> str:
    return _named(names.clients.get(said) or names.actor_prefix + said, ("user:", "service:", "agent:"))

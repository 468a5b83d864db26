"""Whom to ask for tokens, and where: metadata of a protected resource (RFC 9728) and of an issuer (RFC 8414, OpenID
Connect Discovery 1.0). All of it is somebody else's word: what is not exactly as it has to be is not used.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mcp_guard.identity.issuer import Fetch, well_known
from mcp_guard.identity.protected_resource import WELL_KNOWN
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.kit.web import is_protected
from mcp_guard.model.errors import Refused

Challenge = Callable[[str], Awaitable[str]]
"""What an address asks for that is not authorized (`WWW-Authenticate`); empty where it asks for nothing. Raises
`Refused`."""

_RESOURCE_METADATA: Final = re.compile(r'(?i:\bresource_metadata)="([^"\\]{1,2048})"')
_MOST: Final = 2048


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What an issuer says of itself, as far as it is needed. `says_issuer`: its answers name it (RFC 9207).
    `reads_documents`: it knows clients by the address of their metadata. `posts_secret`: it takes secrets in forms
    only."""

    issuer: str
    authorization: str
    token: str
    revocation: str | None
    says_issuer: bool
    reads_documents: bool
    posts_secret: bool


async def endpoints_of(issuer: str, fetch: Fetch) -> Endpoints:
    """The endpoints of an issuer. Raises `Refused`."""
    *others, last = well_known(issuer)
    for address in others:
        try:
            return read_endpoints(await fetch(address), issuer)
        except Refused:
            continue
    return read_endpoints(await fetch(last), issuer)


def read_endpoints(document: bytes, issuer: str) -> Endpoints:
    """The endpoints of a metadata document. Raises `Refused` where it is not this issuer's (RFC 8414 section 3.3), an
    endpoint is not protected, or there is no PKCE with S256 (OAuth 2.1 section 4.1.1)."""
    said = _object(document, "the metadata of the issuer")
    if said.get("issuer") != issuer:
        raise _unusable("the metadata names another issuer")
    if "S256" not in _texts(said.get("code_challenge_methods_supported")):
        raise _unusable("the issuer does not say that it supports PKCE with S256")
    if said.get("response_types_supported") is not None and "code" not in _texts(said["response_types_supported"]):
        raise _unusable("the issuer issues no codes")
    revocation = said.get("revocation_endpoint")
    methods = _texts(said.get("token_endpoint_auth_methods_supported"))
    return Endpoints(
        issuer=issuer,
        authorization=_endpoint(said.get("authorization_endpoint"), "authorization_endpoint"),
        token=_endpoint(said.get("token_endpoint"), "token_endpoint"),
        revocation=None if revocation is None else _endpoint(revocation, "revocation_endpoint"),
        says_issuer=said.get("authorization_response_iss_parameter_supported") is True,
        reads_documents=said.get("client_id_metadata_document_supported") is True,
        posts_secret="client_secret_post" in methods and "client_secret_basic" not in methods,
    )


async def issuer_of(resource: str, address: str, fetch: Fetch, challenge: Challenge) -> str:
    """The issuer that a protected resource at `address` names for `resource`. Raises `Refused`."""
    last: Refused | None = None
    for place in await _metadata_addresses(resource, address, challenge):
        try:
            return read_issuer(await fetch(place), resource)
        except Refused as refusal:
            last = refusal
    raise last or _unusable("the upstream names no issuer")


def read_issuer(document: bytes, resource: str) -> str:
    """The issuer of a protected resource's metadata. Raises `Refused` where it is another resource's (RFC 9728 section
    3.3): else one upstream could have tokens made out for another."""
    said = _object(document, "the metadata of the upstream")
    if said.get("resource") != resource:
        raise _unusable("the metadata names another resource")
    servers = _texts(said.get("authorization_servers"))
    if not servers:
        raise _unusable("the upstream names no issuer")
    if not is_protected(servers[0]) or "?" in servers[0]:
        raise _unusable("the upstream's issuer is not an https address")
    return servers[0]


async def _metadata_addresses(resource: str, address: str, challenge: Challenge) -> list[str]:
    """Where the metadata can be: as the upstream says when it refuses (on its own origin only), else well known."""
    parts = urlsplit(resource)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = [f"{origin}{WELL_KNOWN}{path}", *([f"{origin}{WELL_KNOWN}"] if path else [])]
    try:
        named = _RESOURCE_METADATA.search(await challenge(address))
    except Refused:
        return found
    if named is None or not named.group(1).startswith(f"{origin}/"):
        return found
    return list(dict.fromkeys([named.group(1), *found]))


def _endpoint(found: object, name: str) -> str:
    if not isinstance(found, str) or len(found) > _MOST or not is_protected(found):
        raise _unusable(f"its {name} is not an https address")
    return found


def _object(document: bytes, what: str) -> Mapping[str, object]:
    try:
        said = loads(document)
    except JsonError:
        said = None
    if not isinstance(said, dict):
        raise _unusable(f"{what} is not JSON")
    return said


def _texts(found: object) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _unusable(why: str) -> Refused:
    return Refused("upstream_unavailable", f"the account cannot be connected: {why}")

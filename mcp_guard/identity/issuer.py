"""Where an issuer's keys are: said by the configuration, or discovered from the issuer itself.

OpenID Connect Discovery 1.0 section 4 and RFC 8414 section 3. A document that names another issuer is refused (RFC 8414
section 3.3): otherwise whoever answers at one well-known address could speak for somebody else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mcp_guard.identity.refusal import IssuerFault
from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.errors import Refused

Fetch = Callable[[str], Awaitable[bytes]]
"""The body of a successful GET, through the guarded client. Raises `Refused`."""

_OPENID: Final = "/.well-known/openid-configuration"
_OAUTH: Final = "/.well-known/oauth-authorization-server"


@dataclass(frozen=True, slots=True)
class Issuer:
    """`name` is the issuer identifier, exactly as in its tokens; `jwks` the address of its keys where that is known."""

    name: str
    jwks: str | None
    fetch: Fetch

    async def key_set(self) -> bytes:
        """The JWK set. Raises `IssuerFault` and `Refused`."""
        return await self.fetch(self.jwks or await self._discover())

    async def _discover(self) -> str:
        *others, last = well_known(self.name)
        for address in others:
            try:
                return keys_address(await self.fetch(address), self.name)
            except Refused:
                continue
        return keys_address(await self.fetch(last), self.name)


def well_known(issuer: str) -> tuple[str, ...]:
    """Where the metadata of an issuer can be, in the order in which it is looked for."""
    parts = urlsplit(issuer)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    appended, inserted = f"{root}{path}{_OPENID}", f"{root}{_OAUTH}{path}"
    return (appended, inserted, f"{root}{_OPENID}{path}") if path else (appended, inserted)


def keys_address(document: bytes, issuer: str) -> str:
    """The `jwks_uri` of a metadata document. Raises `IssuerFault` where it is not this issuer's."""
    try:
        metadata = loads(document)
    except JsonError:
        raise IssuerFault("the metadata of the issuer is not JSON") from None
    if not isinstance(metadata, dict) or metadata.get("issuer") != issuer:
        raise IssuerFault("the metadata names another issuer")
    address = metadata.get("jwks_uri")
    if not isinstance(address, str) or not _is_as_safe(address, issuer):
        raise IssuerFault("the metadata names no address of keys that is as well protected as the issuer's own")
    return address


def _is_as_safe(address: str, issuer: str) -> bool:
    """https, or whatever the configured issuer itself uses."""
    return address.startswith(("https://", f"{urlsplit(issuer).scheme}://"))

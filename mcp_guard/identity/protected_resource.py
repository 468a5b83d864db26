"""The guard as an OAuth 2.1 protected resource: its metadata (RFC 9728) and its challenges (RFC 6750 section 3). Pure.

MCP 2026-07-28, basic/authorization: a 401 names the metadata and the scopes to start with; a call that lacks scopes is
answered 403 `insufficient_scope` with all the scopes of that operation, whatever was granted before.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mcp_guard.kit.strict_json import dumps

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
KEYS_PATH: Final = "/.well-known/jwks.json"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """`resource` is the identifier clients ask tokens for (RFC 8707), the audience of every accepted token.

    `scopes` are those a client should ask for first; tools ask for more when they need it. The scopes of tools are not
    listed: who may not see a tool shall not learn of it here.
    """

    name: str
    resource: str
    issuer: str
    scopes: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        parts = urlsplit(self.resource)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def metadata_path(self) -> str:
        """RFC 9728 section 3.1: the well-known part goes between host and path."""
        return WELL_KNOWN + urlsplit(self.resource).path.rstrip("/")

    def documents(self) -> Mapping[str, bytes]:
        """What is published, by path: the metadata where it belongs, and where clients look next."""
        document: dict[str, object] = {
            "resource": self.resource,
            "authorization_servers": [self.issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": self.name,
        }
        if self.scopes:
            document["scopes_supported"] = list(self.scopes)
        return dict.fromkeys((self.metadata_path, WELL_KNOWN), dumps(document))

    def unauthorized(self) -> str:
        """The `WWW-Authenticate` of every 401, the same for every reason."""
        return self._challenge("invalid_token", self.scopes)

    def insufficient(self, scopes: Iterable[str]) -> str:
        """The `WWW-Authenticate` of a 403 for a call that needs these scopes."""
        return self._challenge("insufficient_scope", sorted(scopes))

    def _challenge(self, error: str, scopes: Iterable[str]) -> str:
        wanted = " ".join(scopes)
        asked = f', scope="{wanted}"' if wanted else ""
        return f'Bearer error="{error}"{asked}, resource_metadata="{self.origin}{self.metadata_path}"'

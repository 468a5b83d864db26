"""Access tokens of people, as connectors ask for them at every call."""

from typing import Protocol

from mcp_guard.model.oauth import OAuthSpec
from mcp_guard.model.principal import Principal


class TokenSource(Protocol):
    """Where the accounts of people at upstreams are kept. Every method raises `NotConnected` for a principal who has
    none, with nothing sent to the upstream; otherwise `Refused` and `StoreUnavailable`."""

    async def require(self, who: Principal, spec: OAuthSpec) -> None:
        """Only raises."""
        ...

    async def token(self, who: Principal, spec: OAuthSpec) -> str:
        """A token that is good for a while."""
        ...

    async def renewed(self, who: Principal, spec: OAuthSpec, refused: str) -> str:
        """Another one than the one the upstream refused."""
        ...

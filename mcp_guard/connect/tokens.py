"""Access tokens of people, as connectors ask for them at every call."""

from dataclasses import dataclass
from typing import Protocol

from mcp_guard.model.oauth import OAuthSpec
from mcp_guard.model.principal import Principal


class TokenSource(Protocol):
    """Where the accounts of people at upstreams are kept. Every method raises `NotConnected` for a principal who has
    none, with nothing sent to the upstream; otherwise `Refused` and `StoreUnavailable`."""

    async def require(self, who: Principal, spec: OAuthSpec) -> None:
        """Only raises."""
        ...

    async def account(self, who: Principal, spec: OAuthSpec) -> str:
        """What tells their account from another one, also from one they connected later."""
        ...

    async def token(self, who: Principal, spec: OAuthSpec) -> str:
        """A token that is good for a while."""
        ...

    async def renewed(self, who: Principal, spec: OAuthSpec, refused: str) -> str:
        """Another one than the one the upstream refused."""
        ...


@dataclass(frozen=True, slots=True)
class Bearer:
    """Somebody's tokens for one upstream, for a session of theirs that outlives a token."""

    tokens: TokenSource
    who: Principal
    spec: OAuthSpec

    async def token(self) -> str:
        return await self.tokens.token(self.who, self.spec)

    async def renewed(self, refused: str) -> str:
        return await self.tokens.renewed(self.who, self.spec, refused)

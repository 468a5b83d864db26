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

    async def token(self, who: Principal, spec: OAuthSpec, account: str = "") -> str:
        """A token that is good for a while. Of one `account`, where that is named: it raises a `Refused` without a link
        where that is not connected any more."""
        ...

    async def renewed(self, who: Principal, spec: OAuthSpec, refused: str, account: str = "") -> str:
        """Another one than the one the upstream refused. Raises like `token`."""
        ...


@dataclass(frozen=True, slots=True)
class Bearer:
    """Somebody's tokens of one account at one upstream, for a session that outlives a token, and not the account: what
    the upstream remembers in it belongs to that one."""

    tokens: TokenSource
    who: Principal
    spec: OAuthSpec
    account: str

    async def token(self) -> str:
        return await self.tokens.token(self.who, self.spec, self.account)

    async def renewed(self, refused: str) -> str:
        return await self.tokens.renewed(self.who, self.spec, refused, self.account)

"""The credentials the guard itself makes out, by the kind a manifest asks for: `${token:call}`, `${token:exchange}`."""

from dataclasses import dataclass

from mcp_guard.identity.call_token import CallTokens
from mcp_guard.identity.exchange import Exchange
from mcp_guard.model.call import CredentialRequest
from mcp_guard.model.errors import Refused


@dataclass(frozen=True, slots=True)
class OutwardCredentials:
    """One credential a call: short-lived, for one upstream, with the scopes of one tool."""

    tokens: CallTokens
    exchange: Exchange | None = None

    async def issue(self, wanted: CredentialRequest) -> str:
        """The credential. Raises `Refused`, with nothing executed."""
        if wanted.kind == "call":
            return self.tokens.sign(wanted)
        if self.exchange is None:
            raise Refused("upstream_unavailable", "no token exchange is configured here")
        return await self.exchange.token(wanted)

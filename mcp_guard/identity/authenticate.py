"""From a credential to a principal. Everything that cannot be believed is `Unauthenticated` with a constant text."""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.identity import jwt, token
from mcp_guard.identity.access_token import AccessTokens
from mcp_guard.identity.directory import Directory
from mcp_guard.identity.token import TokenRecord
from mcp_guard.kit.clock import Clock
from mcp_guard.model.errors import Unauthenticated
from mcp_guard.model.principal import Principal


@dataclass(frozen=True, slots=True)
class Authenticator:
    """`find` looks a stored token up by its id, at every use: a revoked token is refused on the next call. `directory`
    is asked as often: what it gives is what is in force.

    `access_tokens` judges JWTs where the home has an issuer; without one they are as good as no token.
    """

    directory: Callable[[], Directory]
    find: Callable[[str], TokenRecord | None]
    clock: Clock
    access_tokens: AccessTokens | None = None

    async def authenticate(self, text: str) -> Principal:
        """The principal of a presented credential, whose kind its form tells. Raises `Unauthenticated`."""
        if self.access_tokens is not None and jwt.looks_like_one(text):
            return await self.access_tokens.principal(text)
        return self.bearer(text)

    def bearer(self, text: str) -> Principal:
        """The principal a token of our own stands for. Raises `Unauthenticated`, the same for every reason."""
        presented = token.parse(text)
        record = self.find(presented.id) if presented else None
        if presented is None or record is None or not record.is_valid(presented, self.clock.now_us()):
            raise Unauthenticated()
        profile = self.directory().profile(record.subject)
        if profile.tenant not in (None, record.tenant):  # the subject moved since; what it holds is another tenant's
            raise Unauthenticated()
        scopes = profile.scopes if record.scopes is None else profile.scopes & record.scopes
        return Principal(
            subject=record.subject,
            client=record.client,
            tenant=record.tenant,
            auth="bearer",
            assurance="token",
            scopes=scopes,
            attributes=profile.attributes,
            token=record.id,
        )

    def by_signature(self, subject: str, client: str, tenant: str) -> Principal:
        """The owner of a key that signed a decision, for that decision and nothing else: they hold no scopes."""
        profile = self.directory().profile(subject)
        return Principal(
            subject=subject,
            client=client,
            tenant=profile.tenant or tenant,
            auth="signature",
            assurance="signed",
            attributes=profile.attributes,
        )

    def declared(self, subject: str, client: str, tenant: str) -> Principal:
        """A principal taken at its word by whoever started the process; assurance `declared`."""
        profile = self.directory().profile(subject)
        return Principal(
            subject=subject,
            client=client,
            tenant=profile.tenant or tenant,
            auth="local",
            assurance="declared",
            scopes=profile.scopes,
            attributes=profile.attributes,
        )

"""Issuing, listing and revoking bearer tokens; every change is on record."""

from dataclasses import dataclass

from mcp_guard.audit.journal import Journal
from mcp_guard.identity import token
from mcp_guard.identity.directory import Directory, is_principal_name, is_scope, is_tenant_name
from mcp_guard.identity.store import NoSuchToken, TokenStore
from mcp_guard.identity.token import TokenRecord
from mcp_guard.kit.clock import Clock
from mcp_guard.kit.units import seconds
from mcp_guard.model.errors import UsageError

MAX_LIFE_SECONDS = 366 * 86400


@dataclass(frozen=True, slots=True)
class Wish:
    """What a token is asked to be; checked by `TokenAdmin.create`. `scopes` is `None` for all of the subject's."""

    subject: str
    client: str
    tenant: str | None
    scopes: frozenset[str] | None
    expires: str


@dataclass(frozen=True, slots=True)
class TokenAdmin:
    """Token use-cases of an operator with access to the store."""

    tokens: TokenStore
    directory: Directory
    journal: Journal
    clock: Clock

    async def create(self, wish: Wish) -> tuple[str, TokenRecord]:
        """A new token: its text, to be handed over once, and its record. Raises `UsageError`."""
        tenant = self._check(wish)
        text, presented = token.generate()
        now = self.clock.now_us()
        record = TokenRecord(
            id=presented.id,
            digest=presented.digest,
            subject=wish.subject,
            client=wish.client,
            tenant=tenant,
            scopes=wish.scopes,
            created_at=now,
            expires_at=now + _life_us(wish.expires),
            revoked_at=None,
        )
        note = self.journal.entry("config", {"what": "token-created", "id": record.id, "subject": record.subject})
        await self.tokens.insert(record, note)
        return text, record

    async def list(self) -> list[TokenRecord]:
        """Every token, in the order they were made."""
        return await self.tokens.all()

    async def revoke(self, identifier: str) -> None:
        """Refuse a token from now on. Raises `UsageError` where there is none; revoking twice is no error."""
        note = self.journal.entry("config", {"what": "token-revoked", "id": identifier})
        try:
            await self.tokens.revoke(identifier, self.clock.now_us(), note)
        except NoSuchToken:
            raise UsageError("There is no token with this id.", hint="`mcp-guard token list` shows the ids") from None

    def _check(self, wish: Wish) -> str:
        if not is_principal_name(wish.subject) or wish.subject.startswith("agent:"):
            raise UsageError("A subject is named user:… or service:….", hint="the agent goes to --client")
        if not is_principal_name(wish.client) or not wish.client.startswith("agent:"):
            raise UsageError("A client is named agent:….", hint="for example --client agent:claude-desktop")
        profile = self.directory.profile(wish.subject)
        tenant = wish.tenant or profile.tenant
        if tenant is None or not is_tenant_name(tenant):
            raise UsageError("A tenant is needed.", hint="pass --tenant or list the subject in policy/principals.yaml")
        if profile.tenant is not None and tenant != profile.tenant:
            raise UsageError("The subject belongs to another tenant.", hint="leave --tenant out")
        unknown = sorted(scope for scope in wish.scopes or () if not is_scope(scope) or scope not in profile.scopes)
        if unknown:
            raise UsageError("A token can only narrow the scopes its subject holds.", hint="see policy/principals.yaml")
        return tenant


def _life_us(text: str) -> int:
    try:
        life = seconds(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}.") from None
    if not 1 <= life <= MAX_LIFE_SECONDS:
        raise UsageError("--expires must lie between 1s and 366d.")
    return int(life * 1_000_000)

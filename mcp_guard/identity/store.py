"""Tokens at rest: rows of the store, each change committed together with its audit record."""

import json
from dataclasses import dataclass

from mcp_guard.identity.token import TokenRecord
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction
from mcp_guard.store.values import Entry, Unit

_FIELDS = ("id", "digest", "subject", "client", "tenant", "scopes", "created_at", "expires_at", "revoked_at")


class NoSuchToken(Exception):
    """The token to be changed is not there."""


@dataclass(frozen=True, slots=True)
class TokenStore:
    """The `tokens` table of a store."""

    store: Store

    def find(self, identifier: str) -> TokenRecord | None:
        """One token by its id; a point look-up that never waits for a writer."""
        row = self.store.reader.peek("token_by_id", {"id": identifier})
        return None if row is None else _record(row)

    async def all(self) -> list[TokenRecord]:
        """Every token, in the order they were made."""
        return [_record(row) for row in await self.store.reader.all("token_list")]

    async def insert(self, record: TokenRecord, note: Entry) -> None:
        """Store a token and the record that says so."""
        row: Parameters = {
            "id": record.id,
            "hash": record.digest,
            "subject": record.subject,
            "client": record.client,
            "tenant": record.tenant,
            "scopes": None if record.scopes is None else json.dumps(sorted(record.scopes)),
            "created_at": record.created_at,
            "expires_at": record.expires_at,
        }
        await self.store.writer.submit(Unit((note,), work=lambda tx: _insert(tx, row)))

    async def revoke(self, identifier: str, now_us: int, note: Entry) -> None:
        """Refuse a token from `now_us` on. Raises `NoSuchToken`; revoking twice keeps the first time."""
        await self.store.writer.submit(Unit((note,), work=lambda tx: _revoke(tx, identifier, now_us)))


def _insert(tx: Transaction, row: Parameters) -> None:
    tx.run("token_insert", row)


def _revoke(tx: Transaction, identifier: str, now_us: int) -> None:
    if tx.one("token_by_id", {"id": identifier}) is None:
        raise NoSuchToken
    tx.run("token_revoke", {"id": identifier, "revoked_at": now_us})


def _record(row: Row) -> TokenRecord:
    values = dict(zip(_FIELDS, row, strict=True))
    scopes = values.pop("scopes")
    narrowed = None if scopes is None else frozenset(json.loads(str(scopes)))
    return TokenRecord(scopes=narrowed, **values)  # type: ignore[arg-type]  # the table is STRICT: the types are as declared

"""Grants at rest. The sealed text is the grant; the columns beside it only help to find it.

What became of a grant is said twice: by rows, which move in one commit with the record and so count exactly, and by the
records themselves. The records are the truth: who takes rows away has to break the log as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from mcp_guard.approval.grants import Grant, NotGranted
from mcp_guard.kit import strict_json
from mcp_guard.secrets.vault import SealBroken, Vault
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Transaction, Work

MOST_REMEMBERED = 1000
"""Grants of which is remembered how far the log was read."""


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What the log says of a grant, read as far as before record `end`."""

    end: int
    created: bool = False
    revoked: bool = False
    uses: int = 0

    def with_record(self, record: Mapping[str, object]) -> "OnRecord":
        """With one more record that names the grant."""
        kind, verdict = record.get("kind"), record.get("verdict")
        if kind == "intent":
            return replace(self, uses=self.uses + 1)
        if kind != "approval":
            return self
        return replace(
            self, created=self.created or verdict == "approved", revoked=self.revoked or verdict == "revoked"
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """A grant as its rows have it: `used` counts its uses."""

    grant: Grant
    revoked: bool
    used: int


@dataclass(frozen=True, slots=True)
class Leave:
    """A grant that covers a call, and what the log said of it then."""

    grant: Grant
    said: OnRecord


@dataclass(frozen=True, slots=True)
class GrantStore:
    """The tables `approval_grant` and `grant_use`. Reading raises `StoreUnavailable`; what returns `Work` is for units
    of others."""

    store: Store
    vault: Callable[[], Vault]
    _read: dict[str, OnRecord] = field(default_factory=dict)

    async def all(self, *, tool: str | None = None, subject: str | None = None, after: int = 0) -> list[Kept]:
        """Grants that last beyond `after` (unix µs), oldest first; perhaps only those for one tool and requester.

        Rows that do not open are no grants.
        """
        asked: Parameters = {"likeness": None if tool is None else self._likeness(tool, subject), "after": after}
        rows = await self.store.reader.all("grant_list", asked)
        found = [
            Kept(grant, revoked_at is not None, int(str(used)))
            for identifier, sealed, revoked_at, used in rows
            if (grant := self._opened(str(identifier), sealed)) is not None and grant.until > after
        ]
        return sorted(found, key=lambda kept: (kept.grant.created_at, kept.grant.id))

    async def on_record(self, grant: Grant) -> OnRecord:
        """What the log says of a grant. Only what was not read before is read."""
        known = self._read.get(grant.id)
        if known is None:
            row = await self.store.reader.one("log_first_since", {"time": grant.created_at})
            known = OnRecord(int(str(row[0])) if row is not None else 0)
        bounds = await self.store.reader.one("log_bounds")
        end = int(str(bounds[0])) if bounds is not None else 0
        if end > known.end:
            asked: Parameters = {"first": known.end, "end": end, "needle": f'"grant":"{grant.id}"'}
            for (line,) in await self.store.reader.all("grant_records", asked):
                record = orjson.loads(str(line))
                known = known.with_record(record) if record.get("grant") == grant.id else known
            known = replace(known, end=end)
        if len(self._read) >= MOST_REMEMBERED:
            self._read.clear()
        self._read[grant.id] = known
        return known

    def granting(self, grant: Grant) -> Work:
        """Insert a grant."""
        row: Parameters = {
            "id": grant.id,
            "approval": grant.approval,
            "likeness": self._likeness(grant.like.tool, grant.like.subject),
            "grantor": grant.by.subject,
            "until": grant.until,
            "sealed": self.vault().seal(grant.as_bytes(), _row(grant.id)),
        }

        def work(transaction: Transaction) -> None:
            transaction.run("grant_insert", row)

        return work

    def using(self, leave: Leave, call: str, now: int) -> Work:
        """Use a grant once, for a call. Raises `NotGranted`.

        Time never goes back: the log's own counts where the clock is behind it. Fewer rows than the log had records of
        are rows taken away, and then it is no grant any more.
        """
        grant, said = leave.grant, leave.said

        def work(transaction: Transaction) -> None:
            row = transaction.one("grant_standing", {"id": grant.id, "now": now, "until": grant.until})
            if row is None:
                raise NotGranted
            used = int(str(row[0]))
            if used < said.uses or used >= grant.uses:
                raise NotGranted
            transaction.run("grant_use", {"id": grant.id, "call": call})

        return work

    def revoking(self, grant: Grant, now: int) -> Work:
        """End a grant. Raises `NotGranted` where it was revoked before."""

        def work(transaction: Transaction) -> None:
            if transaction.run("grant_revoke", {"id": grant.id, "now": now}) != 1:
                raise NotGranted

        return work

    def _opened(self, identifier: str, sealed: object) -> Grant | None:
        """The grant a row keeps; `None` where it was erased, forged or taken from another row."""
        try:
            found = self.vault().open(sealed if isinstance(sealed, bytes) else b"", _row(identifier))
        except SealBroken:
            return None
        grant = Grant.of_bytes(found)
        return grant if grant.id == identifier else None

    def _likeness(self, tool: str, subject: str | None) -> str:
        """What rows are found by; keyed, so that it names nobody."""
        return self.vault().digest(strict_json.dumps(["grant", tool, subject]))


def _row(identifier: str) -> str:
    return f"grant/{identifier}"

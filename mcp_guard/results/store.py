"""Results at rest: encrypted in pages, each readable only as that page of that result of that owner.

What stands beside the pages says whose they are and until when; it is authenticated with every page, so a row that was
changed, moved or taken over opens for nobody.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from mcp_guard.kit import strict_json
from mcp_guard.model.principal import Principal
from mcp_guard.secrets.vault import Vault
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction, Work
from mcp_guard.store.values import Unit

PAGE_BYTES: Final = 64 * 1024
"""Of the JSON text of a result, in one page; a character that would be broken in two goes to the next."""


class NoRoom(Exception):
    """There is no room for another result: neither the requester's nor everybody's bounds allow for it."""


class Owner(NamedTuple):
    """For whom a result was made, and for nobody else: the same person through the same agents."""

    subject: str
    client: str
    tenant: str
    chain: str

    @classmethod
    def of(cls, principal: Principal) -> "Owner":
        chain = strict_json.dumps(list(principal.chain)).decode()
        return cls(principal.subject, principal.client, principal.tenant, chain)


class Bounds(NamedTuple):
    """How many results one person has at most, with how many bytes together, and all of them together."""

    most: int
    size: int
    total: int


@dataclass(frozen=True, slots=True)
class Result:
    """What is known of a kept result beside its pages. Times are unix µs; `size` is in bytes."""

    id: str
    owner: Owner
    tool: str
    call: str
    size: int
    pages: int
    expires_at: int

    def row(self, page: int) -> str:
        """What a page is authenticated as."""
        return "result/" + strict_json.dumps([self.id, page, *self.owner, *self._rest()]).decode()

    def _rest(self) -> tuple[str | int, ...]:
        return self.tool, self.call, self.size, self.pages, self.expires_at

    @classmethod
    def of_row(cls, row: Row) -> "Result":
        identifier, subject, client, tenant, chain, tool, call, size, pages, expires_at = row
        owner = Owner(str(subject), str(client), str(tenant), str(chain))
        numbers = [int(str(number)) for number in (size, pages, expires_at)]
        return cls(str(identifier), owner, str(tool), str(call), numbers[0], numbers[1], numbers[2])


def pages_of(text: bytes) -> list[bytes]:
    """A JSON text in pages of whole characters."""
    return list(_cut(text))


def _cut(text: bytes) -> Iterator[bytes]:
    edges = [0]
    while edges[-1] < len(text):
        end = min(edges[-1] + PAGE_BYTES, len(text))
        while end < len(text) and text[end] & 0xC0 == 0x80:  # within a character (RFC 3629, section 3)
            end -= 1
        edges.append(end)
    yield from (text[start:end] for start, end in pairwise(edges))


@dataclass(frozen=True, slots=True)
class ResultStore:
    """The tables `kept_result` and `kept_page`. Every method raises `StoreUnavailable`."""

    store: Store
    vault: Callable[[], Vault]

    async def keep(self, result: Result, pages: list[bytes], bounds: Bounds, now: int) -> None:
        """Keep a result, which nobody can read before it is released. What has expired goes, what a process that died
        did not come to tell of, and the oldest of the same person where that makes room. Raises `NoRoom`."""
        vault = self.vault()
        sealed = [vault.seal(page, result.row(number)) for number, page in enumerate(pages, 1)]
        owner = result.owner
        row: Parameters = {
            "id": result.id,
            **owner._asdict(),
            "tool": result.tool,
            "call": result.call,
            "size": result.size,
            "pages": result.pages,
            "now": now,
            "expires_at": result.expires_at,
            "boot": self.store.boot,
        }

        def work(transaction: Transaction) -> None:
            self._sweep(transaction, now)
            _make_room(transaction, result, bounds)
            transaction.run("kept_insert", row)
            for number, page in enumerate(sealed, 1):
                transaction.run("kept_page_insert", {"id": result.id, "page": number, "sealed": page})

        await self.store.writer.submit(Unit((), work=work))

    def releasing(self, identifier: str) -> Work:
        """Let a result be read from now on; commits with the outcome that tells of it."""

        def work(transaction: Transaction) -> None:
            transaction.run("kept_release", {"id": identifier})

        return work

    async def find(self, identifier: str, now: int) -> Result | None:
        """A result that was released and has not expired."""
        row = await self.store.reader.one("kept_get", {"id": identifier, "now": now})
        return None if row is None else Result.of_row(row)

    async def page(self, result: Result, number: int) -> str | None:
        """A page of it, from 1 on. Raises `SealBroken` for one that was not made for exactly this place."""
        row = await self.store.reader.one("kept_page_get", {"id": result.id, "page": number})
        if row is None or not isinstance(row[0], bytes):
            return None
        return self.vault().open(row[0], result.row(number)).decode()

    async def sweep(self, now: int) -> None:
        """Remove what has expired, and what a process that died did not come to tell of."""
        untold = await self.store.reader.all("kept_untold")
        expired = await self.store.reader.one("kept_expired", {"now": now})
        if expired is not None or self._gone(untold):
            await self.store.writer.submit(Unit((), work=lambda transaction: self._sweep(transaction, now)))

    def _sweep(self, transaction: Transaction, now: int) -> None:
        for boot in self._gone(transaction.all("kept_untold")):
            transaction.run("kept_give_up", {"boot": boot})
        transaction.run("kept_pages_expire", {"now": now})
        transaction.run("kept_expire", {"now": now})

    def _gone(self, untold: Iterable[Row]) -> list[str]:
        """The processes among them that are gone."""
        return [boot for boot in (str(row[0]) for row in untold) if not self.store.liveness.is_alive(boot)]


def _make_room(transaction: Transaction, result: Result, bounds: Bounds) -> None:
    """Take the oldest results of the same person away until there is room for one more. Those a call is about to tell
    of stay. Raises `NoRoom`."""
    owner = result.owner
    own = transaction.all("kept_of", {"subject": owner.subject, "tenant": owner.tenant})
    count, size = len(own), sum(int(str(row[1])) for row in own)
    for identifier, bytes_, ready in own:
        if count < bounds.most and size + result.size <= bounds.size:
            break
        if ready:
            transaction.run("kept_pages_drop", {"id": identifier})
            transaction.run("kept_drop", {"id": identifier})
            count, size = count - 1, size - int(str(bytes_))
    total = transaction.one("kept_total")
    assert total is not None
    fits = count < bounds.most and size + result.size <= bounds.size
    if not fits or int(str(total[0])) + result.size > bounds.total:
        raise NoRoom

"""How a log changed its keys, as its own records say, for a witness that has to follow."""

from collections.abc import AsyncIterator
from contextlib import suppress

from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Filters, Query
from mcp_guard.audit.witness_client import HandOver
from mcp_guard.model.note import Checkpoint, NoteError, VerifierKey, parse_note
from mcp_guard.store.finder import Record, number_of
from mcp_guard.store.store import Store
from mcp_guard.store.values import Signed

_PAGE = 500


async def hand_overs(store: Store, at_least: int) -> AsyncIterator[HandOver]:
    """The changes of keys whose last checkpoint has `at_least` that size, in order.

    Raises `StoreUnavailable`, `LogBroken`.
    """
    proofs = Proofs(store)
    announced: dict[str, int] = {}
    for record in await _key_records(store):
        state = record["state"]
        assert isinstance(state, dict)
        if state.get("what") == "next":
            with suppress(NoteError):
                announced[VerifierKey.parse(str(state.get("vkey"))).key_id.hex()] = number_of(record)
        elif state.get("what") == "changed" and (n := announced.get(str(state.get("key")))) is not None:
            note = str(state.get("checkpoint")).encode()
            last = Signed(Checkpoint.parse(parse_note(note).text).size, note)
            if last.size >= at_least:
                yield HandOver(last, (await proofs.inclusion([n], under=last)).format())


async def _key_records(store: Store) -> list[Record]:
    """Every `key` record, oldest first."""
    query, found, before = Query(store), list[Record](), None
    while True:
        page = await query.page(Filters(kind="key", before=before, limit=_PAGE))
        found += page.records
        if page.next is None:
            return found[::-1]
        before = page.next

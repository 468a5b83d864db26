"""Removing the oldest records for good: lines, what stands beside them, and what the index knows of them.

The tree keeps their leaves, so the log goes on proving what it was. Whoever calls has seen to it that they may go.
"""

from collections.abc import Sequence

import orjson

from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store import facets, indexer, tiles, words
from mcp_guard.store.transaction import Transaction, Work


class CutChanged(Exception):
    """The log is not what the cut was planned for: somebody else pruned, or an intent there is open."""


def cutting(first: int, end: int, waiting: Sequence[int]) -> Work:
    """The work of a unit: remove the records `[first, end)`; `end` is a multiple of a tile's size.

    `waiting` are intents before `end` whose outcome stands behind it: their lines stay readable. Raises `CutChanged`,
    and `StoreUnavailable` where this process cannot keep the index true.
    """

    def work(transaction: Transaction) -> None:
        if tiles.first_line(transaction) != first or transaction.one("inflight_before", {"end": end}) is not None:
            raise CutChanged
        if min(tiles.tiled(transaction), indexer.indexed(transaction)) < end:
            raise CutChanged
        numbers = orjson.dumps(sorted(waiting)).decode()
        transaction.run("pruned_intents_drop", {"numbers": numbers})
        transaction.run("pruned_intents_keep", {"numbers": numbers, "end": end})
        transaction.run("sides_prune", {"end": end})
        transaction.run("checkpoints_before", {"end": end})
        transaction.run("log_prune", {"end": end})
        _forget(transaction, end)

    return work


def _forget(transaction: Transaction, end: int) -> None:
    """Leave in the index what the lines from `end` on give."""
    segment, position = facets.place(end)
    transaction.run("postings_before", {"segment": segment})
    transaction.run("digests_before", {"segment": segment})
    for facet, bits in transaction.all("postings_in", {"segment": segment}):
        assert isinstance(bits, bytes)
        left = facets.unpack(bits) >> position << position
        if left:
            transaction.run("posting_put", {"facet": facet, "segment": segment, "bits": facets.pack(left)})
        else:
            transaction.run("posting_delete", {"facet": facet, "segment": segment})
    blank = bytes(position * facets.DIGEST_BYTES)
    for kind, digests in transaction.all("digests_in", {"segment": segment}):
        assert isinstance(digests, bytes)
        left_behind = blank[: len(digests)] + digests[len(blank) :]
        transaction.run("digest_put", {"kind": kind, "segment": segment, "digests": left_behind})
    if transaction.one("words_exist") is not None:
        if not words.has_index():
            raise StoreUnavailable("this Python's SQLite lacks FTS5, which the store's index was made with", hint="")
        indexer.fill_words(transaction)
        transaction.run("words_forget")
    transaction.run("phrases_forget")
    if transaction.one("words_exist") is not None:
        transaction.run("words_filled", {"key": indexer.WORDED})

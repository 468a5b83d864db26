"""Where the stored chain ends, and whether it is still the one this process wrote."""

import orjson

from mcp_guard.model.chain import Tail, leaf_hash
from mcp_guard.model.errors import LogBroken
from mcp_guard.store import tiles
from mcp_guard.store.transaction import Transaction
from mcp_guard.store.values import Stored


def read_tail(transaction: Transaction, origin: str) -> Tail:
    """Where the stored chain ends. Raises `LogBroken` where its last line is no record of that place."""
    last = transaction.one("log_last")
    if last is None:
        return Tail.start(origin)
    n, line = last
    assert isinstance(n, int)
    assert isinstance(line, str)
    try:
        record = orjson.loads(line)
        number, t = record["_n"], record["_t"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise LogBroken(f"the last record of the log ({n}) is not a record") from None
    if number != n:
        raise LogBroken(f"the last record of the log stands at {n} and calls itself {number}")
    return Tail(n + 1, leaf_hash(line.encode()), t)


def check_continuity(transaction: Transaction, known: Tail, found: Tail) -> None:
    """What was acknowledged must still be there. Raises `LogBroken` for an older copy or another history."""
    if found.n < known.n:
        raise LogBroken(
            f"the log went back from {known.n} to {found.n} records: an older copy took its place",
            hint="put the newest database back; nothing is written until then",
        )
    if known.n and not holds(transaction, known):
        raise LogBroken(
            f"record {known.n - 1} is not the one that was acknowledged", hint="put the right database back"
        )


def holds(transaction: Transaction, tail: Tail) -> bool:
    """Whether the record before this tail stands in the log as it was sealed."""
    return _has(transaction, tail.n - 1, tail.leaf)


def is_stored(transaction: Transaction, record: Stored) -> bool:
    """Whether this very record stands in the log."""
    return _has(transaction, record.n, record.leaf)


def _has(transaction: Transaction, n: int, leaf: str) -> bool:
    row = transaction.one("log_line", {"n": n})
    if row is None and 0 <= n < tiles.first_line(transaction):  # it was pruned since
        return [bytes.fromhex(leaf)] == tiles.read_leaves(transaction, n, 1)
    return row is not None and leaf_hash(str(row[0]).encode()) == leaf

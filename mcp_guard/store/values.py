"""What is handed to the store and what comes back: values only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mcp_guard.store.transaction import Transaction


SALT_BYTES = 32
MAX_PIECE = 16 * 1024 * 1024 - 1
"""Bytes of a record, or of what stands beside it, at most."""


class Side(NamedTuple):
    """What stands beside a record and can be erased: the salt of a commitment and, where it may be kept, its value.

    `field` names the commitment: `args`, `ctx`, `result`, `why`, or `args/reason` for a sensitive part, whose value is
    `None`.
    """

    field: str
    salt: bytes
    value: bytes | None


class Traits(NamedTuple):
    """What a record can be found by. An outcome has those of its intent too.

    `via` is the client. `hidden` is `yes` for a call that found no tool: what its caller is told of the decision is not
    what was decided. `would` is what policy would have done where it was only observed.
    """

    kind: object = None
    sub: object = None
    via: object = None
    tenant: object = None
    tool: object = None
    effect: object = None
    rule: object = None
    reason: object = None
    status: object = None
    code: object = None
    hidden: object = None
    would: object = None

    def of(self, intent: Traits) -> Traits:
        """The traits of an outcome: who, where, on what and what was decided stand in its intent."""
        return intent._replace(kind=self.kind, status=self.status, code=self.code, hidden=self.hidden)


class Ids(NamedTuple):
    """What few records share: the ids of the call, of its task and of its trace."""

    call: str | None = None
    task: str | None = None
    trace: str | None = None


NO_IDS = Ids()
ID_KINDS = Ids._fields


class Entry(NamedTuple):
    """One record to append.

    `body` is its canonical JSON without `_n`, `_p`, `_t`, which only the writer knows. `opens` marks an intent as
    waiting for its outcome; `closes` is the `n` of the intent this record ends. `traits` and `ids` spare the index from
    reading the record again; without `traits` it does.
    """

    body: bytes
    sides: tuple[Side, ...] = ()
    opens: bool = False
    closes: int | None = None
    traits: Traits | None = None
    ids: Ids = NO_IDS


class Stored(NamedTuple):
    """Where a record stands: its number, its leaf (hex) and its time (unix µs)."""

    n: int
    leaf: str
    t: int


class Signed(NamedTuple):
    """A signed note about the log as it was with its first `size` records."""

    size: int
    note: bytes


class Unit(NamedTuple):
    """What commits together or not at all: records and, with `work`, other rows.

    `work` runs on the writer's thread inside the transaction, before the records. Raising undoes this unit alone and
    the caller gets what was raised. It may run more than once, each time on an undone state, so it only touches the
    transaction. `ends` marks what records the end of something already begun: on a full disk it is still taken, out of
    the space set aside for it.
    """

    entries: tuple[Entry, ...]
    work: Callable[[Transaction], None] | None = None
    ends: bool = False

"""Anchors: what others say they have seen of the log, and what is kept of that.

Only an acknowledgement counts as one: a witness's cosignature or a time-stamp token, verified before it is kept. A file
or a plain HTTP server is a copy: worth something to whoever fetches it there, and nothing as a proof of this process.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol

from mcp_guard.model.errors import GuardError
from mcp_guard.model.note import Checkpoint
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Parameters, Row, Transaction
from mcp_guard.store.values import Signed

Kind = Literal["witness", "rfc3161", "http", "file"]
ACKNOWLEDGING: Final[frozenset[str]] = frozenset({"witness", "rfc3161"})
"""The kinds whose word counts as anchored."""

MAX_SKEW: Final = 3600
"""Seconds an anchor's clock may differ from ours; what is further away was said on another occasion."""

Newest = Callable[[], Awaitable[Signed]]
"""The log as it is now, signed. Raises `GuardError`."""
Growth = Callable[[int, Checkpoint], Awaitable[tuple[bytes, list[bytes]]]]
"""`(old, new)` -> the root the log had at size `old`, and the proof that it grew to `new`. Raises `LogBroken` where
the log of `new` is not this one, `ProofError` where `old` is larger."""


class Reply(NamedTuple):
    """What a server answered: status, media type, body."""

    status: int
    kind: str
    body: bytes


Post = Callable[[str, bytes, str], Awaitable[Reply]]
"""`(path, body, media type)` -> what the anchor's server answered; the path is appended to its address.

Raises `Refused`."""


class AnchorFailed(GuardError):
    """An anchor did not confirm the log."""

    code = "anchor_failed"
    exit_code = 7
    default_hint = "`mcp-guard audit status` shows every anchor; it is tried again by itself while something serves"


class LogForked(AnchorFailed):
    """Somebody elsewhere saw another log than this one."""

    code = "log_forked"
    exit_code = 8
    default_hint = (
        "the store was put back, cut or rewritten, or the other side is wrong: keep a copy of the store, compare it "
        "with what was kept elsewhere (`mcp-guard audit verify --checkpoint`), and do not start anew"
    )


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What an anchor confirmed: the log with `size` records, at `time` (unix seconds, by the anchor's own clock).

    `note` is the checkpoint, with the cosignature where the anchor is a witness. `token` is a time-stamp token.
    """

    size: int
    time: int
    note: bytes
    token: bytes | None = None


class Anchor(Protocol):
    """Somewhere else. `name` tells anchors of a kind apart and may be shown to whoever may see everything."""

    @property
    def kind(self) -> Kind: ...

    @property
    def name(self) -> str: ...

    async def confirm(self, newest: Newest, known: int) -> Confirmed:
        """Have the newest head confirmed; `known` is the size this anchor confirmed last, 0 for none.

        Raises `AnchorFailed`, and `LogForked` where the anchor knows another log.
        """
        ...


class Kept(NamedTuple):
    """What is kept of one anchor. Times are unix seconds, `tried_us` microseconds; `size` 0 for never confirmed."""

    kind: str
    name: str
    size: int = 0
    time: int = 0
    note: bytes = b""
    token: bytes | None = None
    tried_us: int = 0
    failures: int = 0
    error: str = ""
    forked: bool = False

    @property
    def counts(self) -> bool:
        """Whether it is an acknowledgement: others than this process vouch for it."""
        return self.kind in ACKNOWLEDGING and self.size > 0

    def as_status(self, now: int) -> dict[str, object]:
        found: dict[str, object] = {"kind": self.kind, "name": self.name, "state": self._state, "size": self.size}
        if self.size:
            found["age_s"] = max(0, now - self.time)
        if self.error:
            found["error"] = self.error
        return found

    @property
    def _state(self) -> str:
        if self.forked:
            return "FORK"
        if self.error:
            return "failing"
        if not self.size:
            return "never"
        return "anchored" if self.kind in ACKNOWLEDGING else "sent"


async def all_kept(store: Store) -> list[Kept]:
    """What is kept of every anchor this log ever had. Raises `StoreUnavailable`."""
    return [_kept(row) for row in await store.reader.all("anchors_all")]


async def acknowledgements(store: Store) -> list[Kept]:
    """The newest acknowledgement of every anchor whose word counts. Raises `StoreUnavailable`."""
    return [kept for kept in await all_kept(store) if kept.counts]


def kept_of(store: Store, kind: str, name: str) -> Kept:
    """What is kept of one anchor. Raises `StoreUnavailable`; for the event loop's thread only."""
    row = store.reader.peek("anchor_get", {"kind": kind, "name": name})
    return Kept(kind, name) if row is None else _kept(row)


def claim(transaction: Transaction, kept: Kept, now_us: int, pause_us: int) -> bool:
    """Take the next attempt, unless another process had one in the last `pause_us`. A clock that was set back blocks
    nothing."""
    parameters: Parameters = {"kind": kept.kind, "name": kept.name, "now": now_us, "before": now_us - pause_us}
    return transaction.run("anchor_claim", parameters) == 1


def keep(transaction: Transaction, kind: str, name: str, confirmed: Confirmed) -> None:
    """Keep what an anchor confirmed. A fork that was seen stays seen."""
    which: Parameters = {"kind": kind, "name": name}
    what: Parameters = {"size": confirmed.size, "time": confirmed.time, "token": confirmed.token}
    transaction.run("anchor_confirm", {**which, **what, "note": confirmed.note.decode()})


def fail(transaction: Transaction, kind: str, name: str, error: str, *, forked: bool) -> None:
    """Keep why an anchor did not confirm."""
    transaction.run("anchor_fail", {"kind": kind, "name": name, "error": error, "forked": int(forked)})


def as_state(anchor: Anchor, confirmed: Confirmed) -> dict[str, object]:
    """What a record says of an acknowledgement. With the note it is a proof for whoever trusts the anchor."""
    state: dict[str, object] = {"what": "acknowledged", "kind": anchor.kind, "name": anchor.name}
    state |= {"size": confirmed.size, "time": confirmed.time, "checkpoint": confirmed.note.decode()}
    return state if confirmed.token is None else state | {"token": b64encode(confirmed.token).decode()}


def _kept(row: Row) -> Kept:
    kind, name, size, time, note, token, tried, failures, error, forked = row
    assert isinstance(size, int)
    assert isinstance(time, int)
    assert isinstance(tried, int)
    assert isinstance(failures, int)
    assert token is None or isinstance(token, bytes)
    return Kept(str(kind), str(name), size, time, str(note).encode(), token, tried, failures, str(error), bool(forked))

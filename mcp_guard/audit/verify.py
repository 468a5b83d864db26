"""Checking a log: the store's own or an exported one, in one pass and constant memory.

A chain proves that nothing inside it was changed. That nothing was cut off its end, or that all of it is not a
rewrite, only a head known from elsewhere can prove: pass `expect`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mcp_guard.audit.chain_check import Broken, ChainCheck, Numbered
from mcp_guard.audit.record_check import RecordCheck
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.store.scan import CHUNK, Scan, is_store

_READ = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """What somebody kept of the log: record `n` had the leaf `leaf` (hex). A receipt says as much."""

    n: int
    leaf: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `records` counts those that are good; `head` is the leaf of the last of them.

    `signed` is how many records a checked signature covers, `anchored` how many an acknowledgement from elsewhere.
    """

    ok: bool
    origin: str | None
    records: int
    head: str
    error: Broken | None = None
    signed: int = 0
    anchored: str = "never"

    def as_dict(self) -> dict[str, object]:
        found: dict[str, object] = {
            "ok": self.ok,
            "origin": self.origin,
            "records": self.records,
            "signed": self.signed,
            "anchored": self.anchored,
            "head": self.head,
        }
        if self.error is not None:
            found["error"] = {"n": self.error.n, "what": self.error.what}
        return found


def verify(
    source: Path | Iterable[bytes], *, deep: bool = False, origin: str | None = None, expect: Known | None = None
) -> Report:
    """Check a store, an exported `.jsonl` file, or lines.

    Always: numbers without gaps, links, increasing times, the origin where it is known. `deep` also: canonical form,
    the fields of every kind, that every outcome ends one intent once, and in a store every value beside a record.
    Raises `StoreUnavailable` where the source cannot be read.
    """
    if isinstance(source, Path) and is_store(source):
        with Scan(source) as scan:
            return _run(scan.chunks(), origin or scan.origin(), expect, scan if deep else None, deep=deep, keyed=True)
    lines = _lines_of(source) if isinstance(source, Path) else _chunked(source)
    return _run(_numbered(lines), origin, expect, None, deep=deep, keyed=False)


def _run(
    chunks: Iterator[list[Numbered]],
    origin: str | None,
    expect: Known | None,
    scan: Scan | None,
    *,
    deep: bool,
    keyed: bool,
) -> Report:
    check, records = ChainCheck(origin, keyed=keyed), RecordCheck()
    error: Broken | None = None
    for chunk, following in _with_following(chunks):
        error = check.feed(chunk, following)
        if deep:
            error = _earlier(error, _check_records(records, chunk, scan, error))
        if expect is not None and chunk[0][0] <= expect.n <= chunk[-1][0]:
            error = _earlier(error, _check_known(chunk, expect))
        if error is not None:
            break
    if error is None and expect is not None and expect.n >= check.n:
        error = Broken(check.n, f"it is missing: the log is known to reach record {expect.n}")
    good = check.n if error is None else min(error.n, check.n)
    return Report(error is None, origin, good, check.head if error is None else "", error)


def _check_records(check: RecordCheck, chunk: list[Numbered], scan: Scan | None, error: Broken | None) -> Broken | None:
    """The first record of a chunk, before `error`, that is malformed or contradicts what stands beside it."""
    beside = scan.sides(chunk[0][0], chunk[-1][0] + 1) if scan else {}
    for n, line in chunk:
        if error is not None and n >= error.n:
            return None
        if what := check.feed(n, line, beside.get(n, b"")):
            return Broken(n, what)
    return None


def _check_known(chunk: list[Numbered], known: Known) -> Broken | None:
    line = next((line for n, line in chunk if n == known.n), None)
    if line is None or leaf_hash(line) != known.leaf:
        return Broken(known.n, "it is not the record it is known to have been")
    return None


def _earlier(one: Broken | None, other: Broken | None) -> Broken | None:
    found = [broken for broken in (one, other) if broken is not None]
    return min(found, key=lambda broken: broken.n) if found else None


def _with_following(chunks: Iterator[list[Numbered]]) -> Iterator[tuple[list[Numbered], bytes | None]]:
    """Each chunk with the line behind it."""
    held: list[Numbered] | None = None
    for chunk in chunks:
        if held is not None:
            yield held, chunk[0][1]
        held = chunk
    if held is not None:
        yield held, None


def _chunked(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    rest = iter(lines)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _numbered(chunks: Iterable[list[bytes]]) -> Iterator[list[Numbered]]:
    first = 0
    for lines in chunks:
        yield list(enumerate(lines, first))
        first += len(lines)


def _lines_of(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file without their ends, about a megabyte at a time."""
    try:
        with path.open("rb") as file:
            while lines := file.readlines(_READ):
                yield [line[:-1] if line.endswith(b"\n") else line for line in lines]
    except OSError as error:
        raise StoreUnavailable(f"the file cannot be read: {error.strerror}", hint="check the path") from None

"""Checking a log: the store's own or an exported one, in one pass and constant memory.

A chain proves that nothing inside it was changed. That nothing was cut off its end, or that all of it is not a
rewrite, only what is known from elsewhere can prove: a record, a checkpoint, an acknowledgement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import orjson

from mcp_guard.audit.archive import before, segments
from mcp_guard.audit.chain_check import PREFIX, Broken, stated_link, stated_number
from mcp_guard.audit.cut import Cut
from mcp_guard.audit.decision_check import DecisionRules
from mcp_guard.audit.erasure import Erasures
from mcp_guard.audit.examine import Evidence, Fresh, Known, Report, examine
from mcp_guard.audit.line_file import FilePiece, file_pieces, file_size
from mcp_guard.audit.record_check import SideCheck
from mcp_guard.audit.record_form import Record
from mcp_guard.audit.span import Block, Span, Task
from mcp_guard.audit.statements import Statement, Trust
from mcp_guard.audit.sweep import Piece, Progress
from mcp_guard.kit import strict_json
from mcp_guard.kit.curves import CURVES, verify_signature
from mcp_guard.model.chain import genesis
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.note import NoteError
from mcp_guard.store.derived import find_unlike
from mcp_guard.store.scan import Beside, Scan, is_store

__all__ = ["Evidence", "Fresh", "Known", "Report", "Statement", "Trust", "verify", "verify_signature"]

PIECE = 65_536
"""Records of a store that are checked at a time."""
_MEMORY_BLOCK = 1024

Draw = Callable[[int], Progress | None]
"""Given how much there is to do, whom to tell how much more is done."""


def verify(
    source: Path | Sequence[bytes],
    *,
    archive: Path | None = None,
    deep: bool = False,
    evidence: Evidence | None = None,
    workers: int = 1,
    progress: Draw | None = None,
) -> Report:
    """Check a store, an exported `.jsonl` file, an archive directory, or lines, and hold them against the evidence.

    With `archive` the records that were pruned from a store or were not in it any more when it was exported are taken
    from there, so that everything is checked from the first record on.

    Always: numbers without gaps, links, increasing times, the origin where it is known, every checkpoint of the
    evidence and of the store. `deep` also: canonical form, the fields of every kind, the signatures of decisions, that
    every outcome ends one intent once, and in a store every value beside a record and everything that is made of the
    lines. The verdict does not depend on how many `workers` (processes) share the work. Raises `StoreUnavailable` where
    the source cannot be read.
    """
    task = Task(parse=parse, decisions=DecisionRules(CURVES)) if deep else Task()
    run = _Run(task, evidence or Evidence(), workers, progress)
    if not isinstance(source, Path):
        return run.over([_Lines(source)])
    try:
        if source.is_dir():
            return _verify_archive(source, run)
        return _verify_store(source, archive, run) if is_store(source) else _verify_file(source, archive, run)
    except OSError as error:
        raise StoreUnavailable(f"the file cannot be read: {error.strerror}", hint="check the path") from None


class _Run(NamedTuple):
    """How a log is verified, whatever it is kept in."""

    task: Task
    evidence: Evidence
    workers: int
    draw: Draw | None

    def over(self, pieces: Iterable[Piece], weight: int = 0) -> Report:
        progress = self.draw(weight) if self.draw and weight else None
        return examine(pieces, self.task, self.evidence, workers=self.workers, progress=progress)


def is_log_of(source: Path, origin: str) -> bool:
    """Whether a store or an exported file claims to be the log of this origin. Raises `StoreUnavailable`."""
    if source.is_dir():
        first = next(segments(source)[0].blocks()).lines
        return bool(first) and stated_link(first[0]) == genesis(origin)
    if is_store(source):
        with Scan(source) as scan:
            return scan.origin() == origin
    return stated_link(_first_line(source)) == genesis(origin)


def _first_line(source: Path) -> bytes:
    return next((block.lines[0] for block in FilePiece(source, 0, 1).blocks()), b"")


def forks(source: Path) -> list[str]:
    """The anchors that a store says know another log than it holds. Raises `StoreUnavailable`."""
    if source.is_dir() or not is_store(source):
        return []
    with Scan(source) as scan:
        return scan.forked()


def parse(line: bytes) -> Record | None:
    """The record on a line, or `None` where there is none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and strict_json.dumps(record) == line else None


def _verify_archive(archive: Path, run: _Run) -> Report:
    found = segments(archive)
    end = found[-1].end
    report = run.over(before(found, ()), end)
    if report.ok and report.records < end:
        return report.broken(Broken(report.records, "it is missing: the archive is cut off or damaged"))
    return report


def _verify_file(path: Path, archive: Path | None, run: _Run) -> Report:
    if archive is None:
        return run.over(file_pieces(path), file_size(path))
    begin = stated_number(_first_line(path)) or 0
    return run.over(chain(before(segments(archive, begin), (FilePiece(path, 0, None),)), file_pieces(path)))


def _verify_store(path: Path, archive: Path | None, run: _Run) -> Report:
    deep = run.task.parse is not None
    with Scan(path) as scan:
        begin = scan.first()
        stated = _statements([*scan.checkpoints(), *scan.cosigned()])
        kept = tuple(each for each in stated if each.checkpoint.size >= begin)
        evidence = run.evidence
        evidence = replace(evidence, origin=evidence.origin or scan.origin(), statements=evidence.statements + kept)
        beside = scan.beside() if deep else None
        against = SideCheck(Erasures.of(scan.erasures())) if deep else None
        end = scan.end() if beside is None else beside.end
    run = run._replace(task=replace(run.task, keyed=True, beside=against), evidence=evidence)
    rows = (_StorePiece(path, first, min(first + PIECE, end), deep) for first in range(begin, end, PIECE))
    pruned = segments(archive, begin) if archive is not None and begin else []
    report = run.over(chain(before(pruned, (_StorePiece(path, begin, None, deep),)), rows), end)
    if beside is None or not report.ok:
        return report
    error = _check_inflight(beside, report.waiting) or _check_derived(path, end, report.cut_at(begin))
    return report.broken(error) if error else report


def _check_inflight(beside: Beside, waiting: frozenset[int]) -> Broken | None:
    """What is wrong with what a store keeps of open intents, or for records it does not have."""
    if beside.stray is not None:
        return Broken(beside.end, beside.stray)
    known = {n: (boot, line) for n, boot, line in beside.inflight}
    for n in sorted(waiting ^ known.keys()):
        how = "is not on the list of open intents" if n in waiting else "is on the list of open intents and is none"
        return Broken(n, f"it {how}")
    wrong = (n for n, (boot, line) in sorted(known.items()) if orjson.loads(line)["boot"] != boot)
    return next((Broken(n, "the list of open intents names another process for it") for n in wrong), None)


def _check_derived(path: Path, end: int, cut: Cut | None) -> Broken | None:
    unlike = find_unlike(path, cut.frontier if cut else None)
    return Broken(end if unlike.n is None else unlike.n, unlike.what) if unlike else None


def _statements(notes: Sequence[bytes]) -> tuple[Statement, ...]:
    """The checkpoints a store keeps. One that cannot be read is as good as none: they are no evidence by themselves."""
    found = []
    for note in notes:
        with suppress(NoteError):
            found.append(Statement.parse(note))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _StorePiece:
    """The rows `[first, end)` of a store's log; all from `first` on without an `end`."""

    path: Path
    first: int
    end: int | None
    deep: bool

    @property
    def weight(self) -> int:
        return 0 if self.end is None else self.end - self.first

    def rest(self) -> "_StorePiece":
        return replace(self, end=None)

    def is_whole(self, span: Span | None) -> bool:
        """Whether there is no gap: the log had a row behind, or ended there, when the pass began."""
        return span is not None and span.end.n == self.end

    def blocks(self) -> Iterator[Block]:
        with Scan(self.path) as scan:
            for rows in scan.chunks(self.first, self.end):
                numbers, lines = zip(*rows, strict=True)
                beside = scan.sides(numbers[0], numbers[-1] + 1) if self.deep else None
                yield Block([PREFIX + line for line in lines], numbers, beside)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines in memory."""

    lines: Sequence[bytes]
    weight: int = 0

    def rest(self) -> "_Lines":
        return self

    def is_whole(self, _: Span | None) -> bool:
        return True

    def blocks(self) -> Iterator[Block]:
        for first in range(0, len(self.lines), _MEMORY_BLOCK):
            yield Block([PREFIX + line for line in self.lines[first : first + _MEMORY_BLOCK]])

"""A log in pieces and on several cores: the same verdict, whatever is wrong with it and wherever the pieces end."""

import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcp_guard.audit import line_file
from mcp_guard.audit import verify as verify_module
from mcp_guard.audit.chain_check import Place
from mcp_guard.audit.examine import examine
from mcp_guard.audit.line_file import FilePiece
from mcp_guard.audit.span import Block, Task
from mcp_guard.audit.sweep import sweep
from mcp_guard.audit.verify import Evidence, Known, Trust, parse, verify, verify_signature
from mcp_guard.model.chain import Tail, genesis, leaf_hash
from mcp_guard.model.merkle import root_of
from tests.audit.helpers import story
from tests.audit.signing import Signer
from tests.store.helpers import lines

Lines = list[bytes]


def log_of(count: int, start: int = 0) -> Lines:
    """`count` records, numbered from `start` on so that the number of digits changes on the way."""
    tail, found = Tail(start, genesis("o"), 0), []
    for n in range(count):
        body = b'{"boot":"0123456789abcdef","kind":"fault","state":{"x":"%s"},"v":1}' % (b"y" * (n * 7 % 90))
        line, tail = tail.seal(body, 1_790_000_000_000_000)
        found.append(line)
    return found


LOG = log_of(120)


@pytest.mark.holds("audit:verify-parallel")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 30_000), max_size=5), end=st.booleans(), size=st.integers(0, 120))
def test_the_root_is_the_same_wherever_a_file_is_cut(tmp_path: Path, cuts: list[int], end: bool, size: int) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(LOG) + b"\n" * end)
    bounds = [0, *sorted(cuts)]
    pieces = [FilePiece(path, a, b) for a, b in zip(bounds, [*bounds[1:], None], strict=True)]
    swept = sweep(pieces, Task(sizes=frozenset({40})), Place(0, genesis("o")))
    assert swept.found.error is None
    leaves = [bytes.fromhex(leaf_hash(line)) for line in LOG]
    for wanted in (size, 40, 120):
        assert swept.root(wanted) == root_of(leaves[:wanted])
    assert swept.root(121) is None


@pytest.mark.holds("audit:verify-parallel")
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    cuts=st.lists(st.integers(0, 30_000), max_size=4),
    at=st.integers(0, 119),
    attack=st.sampled_from(["edit", "delete", "swap", "cut", "blank"]),
)
def test_the_verdict_on_a_bad_log_is_the_same_wherever_it_is_cut(
    tmp_path: Path, cuts: list[int], at: int, attack: str
) -> None:
    log = list(LOG)
    changes = {
        "edit": [log[at].replace(b"y", b"z", 1) + b" "],
        "delete": [],
        "swap": log[at : at + 2][::-1],
        "cut": [log[at][:50]],
        "blank": [b"", log[at]],
    }
    log[at : at + (2 if attack == "swap" else 1)] = changes[attack]
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(log) + b"\n")
    bounds = [0, *sorted(cuts)]
    pieces = [FilePiece(path, a, b) for a, b in zip(bounds, [*bounds[1:], None], strict=True)]
    evidence = Evidence("o", known=Known(119, leaf_hash(LOG[-1])))
    assert examine(pieces, Task(parse=parse), evidence) == verify(log, deep=True, evidence=evidence)


@pytest.mark.holds("audit:verify-parallel")
@pytest.mark.parametrize(("deep", "threads"), [(False, 1), (True, 1), (True, 2)])
async def test_several_processes_find_what_one_finds(
    path: Path, tmp_path: Path, deep: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = await story(path, acts=20)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    monkeypatch.setattr(verify_module, "PIECE", 7)
    monkeypatch.setattr(line_file, "PIECE", 3000)
    export = tmp_path / "log.jsonl"
    good = lines(path)
    for bad in (None, 0, 21, 43):
        log = [line + b" " if n == bad else line for n, line in enumerate(good)]
        export.write_bytes(b"\n".join(log))
        evidence = Evidence(origin)
        assert verify(export, deep=deep, evidence=evidence, workers=2) == verify(log, deep=deep, evidence=evidence)
    assert verify(path, deep=deep, workers=2) == verify(path, deep=deep)


@pytest.mark.holds("audit:verify-parallel")
@pytest.mark.parametrize("start", [0, 5, 95, 985])
def test_a_claimed_beginning_is_believed_by_nobody(tmp_path: Path, start: int) -> None:
    """A piece is checked from what its first line claims; joining it shows the lie."""
    path = tmp_path / "log.jsonl"
    forged = log_of(20, start)
    path.write_bytes(b"\n".join([*LOG[:10], *forged]))
    pieces = [FilePiece(path, 0, len(b"\n".join(LOG[:10])) + 1), FilePiece(path, len(b"\n".join(LOG[:10])) + 1, None)]
    report = examine(pieces, Task(), Evidence("o"))
    assert report.error is not None
    assert report.error.n == (9 if start == 10 else 10)


@pytest.mark.holds("audit:verify-stream")
def test_progress_is_told_up_to_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(LOG))
    monkeypatch.setattr(line_file, "PIECE", 1000)
    totals: list[int] = []
    told: list[int] = []

    def draw(total: int) -> Callable[[int], None]:
        totals.append(total)
        return told.append

    assert verify(path, progress=draw).ok
    assert totals == [path.stat().st_size] == [sum(told)]
    assert len(told) > 20


@pytest.mark.holds("audit:verify-stream")
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_never_ends_is_no_record_and_is_not_held_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    monkeypatch.setattr(line_file, "LONGEST", 1000)
    monkeypatch.setattr(line_file, "READ", 100)
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(LOG[:5]) + b"\n" + b"x" * 100_000 + end)
    longest = max(len(line) for block in FilePiece(path, 0, None).blocks() for line in block.lines)
    assert longest < 1200
    report = verify(path)
    assert report.error is not None
    assert report.error.n in (4, 5)


@pytest.mark.holds("audit:verify-stream")
@pytest.mark.parametrize("deep", [False, True])
def test_memory_does_not_grow_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deep: bool) -> None:
    monkeypatch.setattr(line_file, "READ", 16 * 1024)
    monkeypatch.setattr(line_file, "PIECE", 256 * 1024)
    peaks = []
    for count in (5_000, 20_000):
        path = tmp_path / f"{count}.jsonl"
        path.write_bytes(b"\n".join(log_of(count)))
        tracemalloc.start()
        try:
            report = verify(path, deep=deep, evidence=Evidence(trust=Trust(verify_signature, (Signer("o", 1).key,))))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert report.ok, report.error
    assert peaks[1] < peaks[0] * 1.5


class DeadlyPiece(FilePiece):
    """A piece over which the process that reads it dies, as by the memory killer."""

    def blocks(self) -> Iterator[Block]:
        os._exit(1)


@pytest.mark.holds("audit:verify-parallel")
def test_a_worker_that_dies_is_an_error_and_not_a_wait(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(LOG))
    pieces = [FilePiece(path, 0, 9_000), DeadlyPiece(path, 9_000, None)]
    with pytest.raises(ChildProcessError, match="died"):
        sweep(pieces, Task(), Place(0, genesis("o")), workers=2)

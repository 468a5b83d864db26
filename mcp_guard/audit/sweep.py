"""One pass over a log in pieces, on one core or several.

Pieces are checked apart and joined in order. Where one does not fit, all from there on is read once more behind what
is known by then, so that the verdict is the same however the log was divided.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

import signal
import sys
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from errno import ECHILD
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Protocol

from mcp_guard.audit.chain_check import Place
from mcp_guard.audit.span import Block, Joined, Span, Task, behind, check_span
from mcp_guard.model.tree_range import Subtrees, root

_AHEAD = 2
"""Pieces that wait for each worker."""

Progress = Callable[[int], None]
"""Told how much more is done, in the weight of pieces."""


class Piece(Protocol):
    """A part of a log that can be sent to another process."""

    @property
    def weight(self) -> int: ...
    def blocks(self) -> Iterator[Block]: ...
    def rest(self) -> "Piece": ...
    def is_whole(self, span: Span | None, /) -> bool: ...


def sweep(
    pieces: Iterable[Piece], task: Task, start: Place, *, workers: int = 1, progress: Progress | None = None
) -> "Swept":
    """Check the pieces of a log behind a known place, until the first bad record.

    Raises what reading raises, and `ChildProcessError` where one of the workers dies.
    """
    joined, marks = Joined(start), []
    with _mapper(workers) as each:
        for piece, span in each(partial(_check, task), pieces):
            if span is not None:
                joined.begin_with(span)
            if not piece.is_whole(span) or (span is not None and not joined.follows(span)):
                marks.append(Mark(joined.place, joined.tree.subtrees, piece.rest()))
                rest = check_span(piece.rest().blocks(), task, joined.place)
                assert rest is not None
                joined.join(rest)
                break
            if span is not None:
                marks.append(Mark(joined.place, joined.tree.subtrees, piece))
                joined.join(span)
            if joined.error is not None:
                break
            if progress is not None:
                progress(piece.weight)
    return Swept(joined, task, marks)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a piece begins: the place, and the subtrees of all records before."""

    place: Place
    subtrees: Subtrees
    piece: Piece


@dataclass(frozen=True, slots=True)
class Swept:
    """What a pass found. `marks` are its pieces, so that a root nobody asked for beforehand costs one piece."""

    found: Joined
    task: Task
    marks: Sequence[Mark]

    def put_behind(self, subtrees: Subtrees) -> "Swept":
        """The same, of a log whose records before the first that is here have these subtrees."""
        self.found.put_behind(subtrees)
        marks = [replace(mark, subtrees=behind(subtrees, mark.subtrees)) for mark in self.marks]
        return replace(self, marks=marks)

    def root(self, size: int) -> bytes | None:
        """The root of the first `size` records, or `None` where fewer are good or the log begins later.

        Raises what reading raises.
        """
        if size == self.found.place.n:
            return self.found.tree.root()
        if not self.found.start.n <= size <= self.found.place.n:
            return None
        if size not in self.found.trees:
            mark = self.marks[bisect_left(self.marks, size, key=lambda mark: mark.place.n) - 1]
            span = check_span(mark.piece.blocks(), replace(self.task, sizes=frozenset({size}), parse=None), mark.place)
            if span is None or size not in span.trees:
                return None
            self.found.trees[size] = behind(mark.subtrees, span.trees[size])
        return root(self.found.trees[size])


def _check(task: Task, piece: Piece) -> tuple[Piece, Span | None]:
    return piece, check_span(piece.blocks(), task)


_Checked = Iterator[tuple[Piece, Span | None]]
_CheckPiece = Callable[[Piece], tuple[Piece, Span | None]]


def _start_method() -> str:
    """A fork is there at once, but sound only where no other thread can hold a lock in that moment."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[[_CheckPiece, Iterable[Piece]], _Checked]]:
    """`map`, on several processes where there are several workers; what is begun is ended with the context."""
    if workers <= 1:
        yield map
        return
    context = get_context(_start_method())
    with ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:

        def ahead(check: _CheckPiece, pieces: Iterable[Piece]) -> _Checked:
            rest = iter(pieces)
            waiting = deque(pool.submit(check, piece) for piece in islice(rest, workers * _AHEAD))
            try:
                while waiting:
                    yield waiting.popleft().result()
                    waiting.extend(pool.submit(check, piece) for piece in islice(rest, 1))
            except BrokenProcessPool:
                raise ChildProcessError(ECHILD, "a process that checked part of it died") from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

        yield ahead

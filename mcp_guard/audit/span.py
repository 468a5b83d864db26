"""A stretch of a log checked by itself, and stretches joined in order.

Every record names its number and the leaf before it, so a stretch can be checked given what its first line claims, on
any core; joining checks the claim. What is left of a stretch is a few hundred bytes, however long it was.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mcp_guard.audit.chain_check import Broken, ChainCheck, Place, noted, stated_link, stated_number
from mcp_guard.audit.decision_check import DecisionRules, SignedTally
from mcp_guard.audit.record_form import FormCheck, Parse
from mcp_guard.model.tree_range import Subtrees, TreeRange

_AT_ONCE = 4096
"""Leaves that are put into the tree together."""


class Block(NamedTuple):
    """Some lines in order, each with the zero byte of its leaf in front.

    From a store also: their row numbers, and for a deep check what stands beside them (packed), by number.
    """

    lines: Sequence[bytes]
    numbers: Sequence[int] | None = None
    beside: dict[int, bytes] | None = None


Beside = Callable[[dict[str, object], bytes], str | None]
"""What is wrong between a record and what stands beside it (packed; empty for nothing)."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to find out. `sizes`: of which the tree is wanted; `numbers`: of which the leaf is wanted.

    `tree` says whether any root is wanted. With `parse` the form of every record is checked, with `beside` also what
    stands beside it, and with `decisions` the signatures of decisions.
    """

    keyed: bool = False
    tree: bool = True
    sizes: frozenset[int] = frozenset()
    numbers: frozenset[int] = frozenset()
    parse: Parse | None = None
    beside: Beside | None = None
    decisions: DecisionRules | None = None

    def with_wanted(self, *, tree: bool, sizes: Iterable[int], numbers: Iterable[int]) -> "Task":
        return replace(self, tree=tree, sizes=frozenset(sizes), numbers=frozenset(numbers))


@dataclass(slots=True)
class Span:
    """What is known of the records `[start.n, end.n)` after checking them; until `error`, if there is one.

    `trees` has the subtrees of the span's records below each wanted size, `leaves` the wanted leaves (hex), `noted` the
    records about the log itself. `first_time` is the time of its first record.
    """

    start: Place
    end: Place
    first_time: bytes = b""
    subtrees: Subtrees = ()
    trees: dict[int, Subtrees] = field(default_factory=dict)
    leaves: dict[int, str] = field(default_factory=dict)
    noted: list[tuple[int, bytes]] = field(default_factory=list)
    opened: set[int] = field(default_factory=set)
    ended: list[tuple[int, int]] = field(default_factory=list)
    signed: SignedTally = field(default_factory=SignedTally)
    error: Broken | None = None


def check_span(blocks: Iterable[Block], task: Task, start: Place | None = None) -> Span | None:
    """Check the lines of some blocks, from a known place or else from the one their first line claims.

    `None` where there are no lines and no place.
    """
    check: _Check | None = None if start is None else _Check(start, task)
    for block, following in _with_following(blocks):
        if check is None:
            number = block.numbers[0] if block.numbers else stated_number(block.lines[0])
            check = _Check(Place(number or 0, stated_link(block.lines[0])), task)
        if not check.feed(block, following):
            break
    return check.finish() if check else None


class _Check:
    def __init__(self, start: Place, task: Task) -> None:
        self._task = task
        self._chain = ChainCheck(start, keyed=task.keyed)
        self._tree = TreeRange(start.n)
        self._leaves: list[bytes] = []
        self._form = FormCheck(task.parse, start.n) if task.parse else None
        self._span = Span(start, start)

    def feed(self, block: Block, following: bytes | None) -> bool:
        """Whether everything is right so far."""
        first, span = self._chain.place.n, self._span
        leaves, span.error = self._chain.feed(block.lines, block.numbers, following)
        if self._form:
            span.error = self._check_forms(self._form, block, first, span.error)
        span.noted += noted(block.lines[: len(leaves)], first)
        span.leaves |= {n: leaves[n - first].hex() for n in self._task.numbers if first <= n < first + len(leaves)}
        if self._task.tree:
            self._leaves += leaves
            if len(self._leaves) >= _AT_ONCE:
                self._grow()
        return span.error is None

    def finish(self) -> Span:
        span = self._span
        self._grow()
        span.first_time, span.end, span.subtrees = self._chain.first_time, self._chain.place, self._tree.subtrees
        if self._form:
            span.opened, span.ended = self._form.waiting, self._form.elsewhere
        return span

    def _grow(self) -> None:
        """Put the leaves that wait into the tree: many at once, because a level of few costs as much as one of many."""
        leaves, self._leaves = self._leaves, []
        first, done = self._tree.end, 0
        for size in sorted(size for size in self._task.sizes if first < size <= first + len(leaves)):
            self._tree.extend(leaves[done : size - first])
            done = size - first
            self._span.trees[size] = self._tree.subtrees
        self._tree.extend(leaves[done:] if done else leaves)

    def _check_forms(self, check: FormCheck, block: Block, first: int, error: Broken | None) -> Broken | None:
        """The first record, before `error`, that is malformed, contradicts what stands beside it, or says that it is
        signed and is not."""
        beside, against = block.beside or {}, self._task.beside
        for n, line in enumerate(block.lines, first):
            if error is not None and n >= error.n:
                return error
            record, what = check.feed(n, line[1:])
            if what is None and self._task.decisions is not None:
                what = self._span.signed.feed(n, record, self._task.decisions)
            if what is None and against is not None:
                what = against(record, beside.get(n, b""))
            if what is not None:
                return Broken(n, what)
        return error


def _with_following(blocks: Iterable[Block]) -> Iterator[tuple[Block, bytes | None]]:
    """Each block that has lines, with the line behind it."""
    held: Block | None = None
    for block in blocks:
        if not block.lines:
            continue
        if held is not None:
            yield held, block.lines[0]
        held = block
    if held is not None:
        yield held, None


class Joined:
    """Spans joined from the first record on. `before` are the outcomes `(n, intent)` of intents before `start`."""

    def __init__(self, start: Place) -> None:
        self.start = self.place = start
        self.before: list[tuple[int, int]] = []
        self.tree = TreeRange(start.n)
        self.trees: dict[int, Subtrees] = {start.n: ()}
        self.leaves: dict[int, str] = {}
        self.noted: list[tuple[int, bytes]] = []
        self.waiting: set[int] = set()
        self.signed = SignedTally()
        self.error: Broken | None = None

    def begin_with(self, span: Span) -> None:
        """Begin where the first span does: whether the log may begin there is for others to say."""
        if self.place == self.start and span.start.n > self.start.n:
            self.start = span.start
            self.place = self.place._replace(n=span.start.n, leaf="")
            self.tree, self.trees = TreeRange(span.start.n), {span.start.n: ()}

    def put_behind(self, subtrees: Subtrees) -> None:
        """Put the trees of all sizes behind these subtrees of the records before `start`."""
        self.trees = {size: behind(subtrees, tree) for size, tree in self.trees.items()}
        self.tree = TreeRange(0, behind(subtrees, self.tree.subtrees))

    def follows(self, span: Span) -> bool:
        """Whether a span is right and is what comes next."""
        place = self.place
        return (
            span.error is None
            and span.start.n == place.n
            and span.start.leaf == (place.leaf or span.start.leaf)
            and place.time < span.first_time
        )

    def join(self, span: Span) -> None:
        """Put a span behind, with its error if it has one."""
        for size, subtrees in span.trees.items():
            self.trees[size] = behind(self.tree.subtrees, subtrees)
        self.tree.join(span.subtrees)
        self.leaves |= span.leaves
        self.noted += span.noted
        self.place = span.end
        self.error = self.signed.join(span.signed) or span.error
        for n, of in span.ended:
            if of < self.start.n:
                self.before.append((n, of))
            elif of not in self.waiting and (self.error is None or n < self.error.n):
                self.error = Broken(n, FormCheck.NO_INTENT)
            self.waiting.discard(of)
        self.waiting |= span.opened


def behind(subtrees: Subtrees, more: Subtrees) -> Subtrees:
    """The subtrees of a range of leaves and of the range that follows, joined."""
    tree = TreeRange(0, subtrees)
    tree.join(more)
    return tree.subtrees

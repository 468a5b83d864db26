"""Verification as one function of a log's pieces and what is known of it from elsewhere.

Standard library and pure modules only: these lines are also part of the stand-alone verifier.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mcp_guard.audit.chain_check import Broken, Place
from mcp_guard.audit.cut import Cut, Pruning, prunings
from mcp_guard.audit.decision_check import Approvers
from mcp_guard.audit.record_form import FormCheck
from mcp_guard.audit.span import Joined, Task
from mcp_guard.audit.statements import Acknowledged, Statement, Trust, Verdict, hold_against, recorded_anchors
from mcp_guard.audit.sweep import Piece, Progress, Swept, sweep
from mcp_guard.model.chain import genesis

AHEAD = 3600
"""Seconds by which the clock of somebody elsewhere may be ahead. A confirmation from a later time says nothing about
age: it would be young for ever."""


@dataclass(frozen=True, slots=True)
class Known:
    """What somebody kept of the log: record `n` had the leaf `leaf` (hex). A receipt says as much."""

    n: int
    leaf: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """An acknowledgement from elsewhere that is younger than `age` seconds at `now` (unix seconds) is demanded."""

    age: int
    now: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the log is held against. `checked` says of a checkpoint's signatures whom to believe, `approvers` whose keys
    sign decisions."""

    origin: str | None = None
    statements: tuple[Statement, ...] = ()
    trust: Trust | None = None
    known: Known | None = None
    fresh: Fresh | None = None
    approvers: Approvers | None = None

    def log(self) -> str | None:
        """Which log this should be: a log's key is named after it, and its checkpoints begin with its name."""
        names = [self.origin] if self.origin else []
        names += [key.name for key in self.trust.keys] if self.trust else []
        names += [statement.checkpoint.origin for statement in self.statements]
        return names[0] if names else None


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `records` counts those that are good; `head` is the leaf of the last of them.

    Of a log with a `cut` the records before it are not here: they were pruned, and count as good where the rest is.
    `prunings` are what the log says itself was pruned.
    `signed` is how many records a checked signature covers, `anchored` how many an acknowledgement from elsewhere, and
    `newest` the latest one. `waiting` are the intents without an outcome, and `decided` the signed decisions by
    fingerprint and subject, where the form of records was checked; `named` says that they were held against approvers.
    """

    ok: bool
    origin: str | None
    records: int
    head: str
    error: Broken | None = None
    signed: int = 0
    anchored: int | str = "never"
    newest: Acknowledged | None = None
    waiting: frozenset[int] = frozenset()
    cut: Cut | None = None
    prunings: tuple[Pruning, ...] = ()
    decided: tuple[tuple[str, str, int], ...] = ()
    named: bool = False

    def broken(self, error: Broken) -> "Report":
        """The same with an error found later."""
        return replace(self, ok=False, records=min(self.records, error.n), head="", error=error)

    def cut_at(self, size: int) -> Cut | None:
        """What the log says of its first `size` records, where it says that they were pruned."""
        return next((pruning.cut for pruning in self.prunings if pruning.cut.size == size), None)

    def as_dict(self) -> dict[str, object]:
        found: dict[str, object] = {
            "ok": self.ok,
            "origin": self.origin,
            "records": self.records,
            "signed": self.signed,
            "anchored": self.anchored,
            "head": self.head,
        }
        if self.cut is not None:
            found["pruned"] = self.cut.size
        if self.decided:
            by = [{"key": key, "sub": subject, "count": count} for key, subject, count in self.decided]
            found["decisions"] = {"signed": sum(count for _, _, count in self.decided), "held": self.named, "by": by}
        if self.error is not None:
            found["error"] = {"n": self.error.n, "what": self.error.what}
        return found


def examine(
    pieces: Iterable[Piece], task: Task, evidence: Evidence, *, workers: int = 1, progress: Progress | None = None
) -> Report:
    """Check a log and hold it against the evidence. Raises what reading the pieces raises.

    Always: numbers without gaps, links, increasing times, the origin where it is known; then every checkpoint shown:
    the same root at its size, signed by the key in force then.
    """
    trust, known, origin = evidence.trust, evidence.known, evidence.log()
    task = task.with_wanted(
        tree=bool(evidence.statements or trust),
        sizes=(statement.checkpoint.size for statement in evidence.statements),
        numbers=() if known is None else (known.n,),
    )
    if task.decisions is not None:
        task = replace(task, decisions=replace(task.decisions, log=origin, approvers=evidence.approvers))
    start = Place(0, genesis(origin) if origin is not None else "")
    swept = sweep(pieces, task, start, workers=workers, progress=progress)
    found = swept.found
    stated = prunings(found.noted)
    cut = next((pruning.cut for pruning in stated if pruning.cut.size == found.start.n), None)
    if cut is not None:
        swept = swept.put_behind(cut.subtrees)
    errors = [
        found.error,
        found.signed.check_log(),
        _check_known(swept, known) if known else None,
        _check_names(evidence, origin),
        _check_beginning(found, cut),
        _check_prunings(swept, stated) if task.tree else None,
    ]
    records = min([found.place.n, *(error.n for error in errors if error)])
    verdict = _hold(swept, evidence, origin, records, cut, broken=any(errors))
    errors.append(verdict.error)
    newest = max(verdict.acknowledged, key=lambda acknowledged: acknowledged.time, default=None)
    anchored = max((acknowledged.size for acknowledged in verdict.acknowledged), default=0)
    error = min((error for error in errors if error), key=lambda error: error.n, default=None)
    records = records if error is None else min(records, error.n)
    if error is None and evidence.fresh:  # it says nothing against the records behind
        error = _check_fresh(evidence.fresh, verdict.acknowledged, anchored)
    head = "" if error else found.place.leaf
    waiting = found.waiting | ((cut.waiting if cut else frozenset()) - {of for _, of in found.before})
    return Report(
        error is None,
        origin,
        records,
        head,
        error,
        verdict.signed,
        anchored or "never",
        newest,
        frozenset(waiting),
        cut,
        tuple(stated),
        tuple((key, subject, count) for (key, subject), count in sorted(found.signed.by.items())),
        evidence.approvers is not None,
    )


def _check_beginning(found: Joined, cut: Cut | None) -> Broken | None:
    """A log may begin with another record than its first only where it says itself what was pruned before."""
    start = found.start
    if start.n == 0:
        return None
    if cut is None:
        return Broken(0, f"it is missing; the next record is {start.n}")
    if cut.leaf != start.leaf:
        return Broken(start.n, "it does not follow the last record that was pruned")
    open_before = set(cut.waiting)
    for n, of in found.before:
        if of not in open_before:
            return Broken(n, FormCheck.NO_INTENT)
        open_before.remove(of)
    return None


def _check_prunings(swept: Swept, stated: Sequence[Pruning]) -> Broken | None:
    """What the log says of pruned records that are here all the same, as where an archive is put before it."""
    here = (pruning for pruning in stated if pruning.cut.size > swept.found.start.n)
    wrong = (n for n, _, cut in here if swept.root(cut.size) != cut.frontier.root)
    return next((Broken(n, "it says of what was pruned what is not so") for n in wrong), None)


def _hold(
    swept: Swept, evidence: Evidence, origin: str | None, records: int, cut: Cut | None, *, broken: bool
) -> Verdict:
    """The verdict on the good records; of a log that is broken before, nothing is said about what is behind."""
    trust = evidence.trust or Trust(lambda *_: False)
    noted = [(n, line) for n, line in swept.found.noted if n < records]
    anchors = recorded_anchors(noted) if trust.outside else []
    anchors = [anchor for anchor in anchors if cut is None or anchor.checkpoint.size >= cut.size]
    statements = [
        statement
        for statement in (*evidence.statements, *_newest(anchors, trust))
        if not broken or statement.checkpoint.size <= records
    ]
    return hold_against(statements, noted, trust, origin=origin, records=records, root=swept.root, cut=cut)


def _newest(anchors: Sequence[Statement], trust: Trust) -> list[Statement]:
    """The last recorded statement that each witness signed, or that was stamped: it covers the earlier ones."""
    found: dict[str, Statement] = {}
    for statement in anchors:
        found |= {str(key): statement for key in trust.witnesses if any(map(key.signed_by, statement.note.signatures))}
    stamped = next((statement for statement in reversed(anchors) if trust.stamp(statement) is not None), None)
    return list({id(statement): statement for statement in (*found.values(), stamped) if statement}.values())


def _check_known(swept: Swept, known: Known) -> Broken | None:
    if known.n < swept.found.start.n:
        what = f"record {known.n} was pruned: what is known of it can only be checked together with the archive"
        return Broken(swept.found.start.n, what)
    if known.n in swept.found.leaves:
        good = swept.found.leaves[known.n] == known.leaf
        return None if good else Broken(known.n, "it is not the record it is known to have been")
    if swept.found.error is not None:
        return None
    return Broken(swept.found.place.n, f"it is missing: the log is known to reach record {known.n}")


def _check_names(evidence: Evidence, origin: str | None) -> Broken | None:
    foreign = [key.name for key in evidence.trust.keys if key.name != origin] if evidence.trust else []
    return Broken(0, f"it belongs to another log: the key is of {foreign[0]}") if foreign else None


def _check_fresh(fresh: Fresh, acknowledged: Sequence[Acknowledged], anchored: int) -> Broken | None:
    times = [each.time for each in acknowledged if each.time <= fresh.now + AHEAD]
    if times and fresh.now - max(times) <= fresh.age:
        return None
    if times:
        last = f"the last time was {fresh.now - max(times)} s ago"
    else:
        last = "the only times are in the future" if acknowledged else "and never did"
    return Broken(anchored, f"nobody elsewhere confirmed the log in the last {fresh.age} s, {last}")

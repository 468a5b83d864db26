"""Pruning: the oldest records leave the store once somebody elsewhere vouches for them and nobody needs them here.

The log stays what it was: its tree keeps every leaf, the `prune` record says where it begins now, and the archive put
before the rest verifies with it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import orjson

from mcp_guard.admin.operator import operator
from mcp_guard.audit import archive as archives
from mcp_guard.audit.chain_check import PREFIX, noted
from mcp_guard.audit.cut import Cut
from mcp_guard.audit.examine import Evidence, Report
from mcp_guard.audit.holds import Hold, Holds, HoldsChanged, unchanged
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.proofs import Proofs
from mcp_guard.audit.query import Filters, Query
from mcp_guard.audit.statements import Trust
from mcp_guard.audit.verify import verify
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken, NotAnchored, OnHold, StoreUnavailable
from mcp_guard.model.merkle import Frontier
from mcp_guard.model.note import Checkpoint, parse_note
from mcp_guard.model.principal import Principal
from mcp_guard.store.pruning import CutChanged, cutting
from mcp_guard.store.scan import Scan
from mcp_guard.store.store import Store
from mcp_guard.store.tiles import TILE
from mcp_guard.store.transaction import together
from mcp_guard.store.values import Unit

STEP = 256 * TILE
"""Records that one commit removes at most, and one segment of the archive holds."""
_ATTEMPTS = 200
_PAUSE = 0.05
_NO_CUT = Cut(0, "", Frontier())


class Until(NamedTuple):
    """How far to prune: records older than `before` (unix µs), or those that are older than `keep` µs."""

    before: int | None = None
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The records `[first, end)` are to go. `due` is how far they are old enough, `anchored` how far they are
    acknowledged; `holds` were in force then, `cut` is what is known of the records before `first`."""

    first: int
    end: int
    due: int
    anchored: int
    holds: Sequence[Hold]
    cut: Cut


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned: the records `[first, end)`. `noted` are the records that say so, `segments` the files."""

    first: int
    end: int
    due: int
    anchored: int
    noted: tuple[int, ...] = ()
    segments: tuple[str, ...] = ()


def due(store: Path, keep: int, now_us: int) -> dict[str, object]:
    """For status: how many records were `pruned`, and how many more are older than `keep` µs. Raises
    `StoreUnavailable`."""
    with Scan(store) as scan:
        first = scan.first()
        count = scan.first_since(now_us - keep) - first
    found: dict[str, object] = {"pruned": first} if first else {}
    return found | {"due": count} if count > 0 else found


@dataclass(frozen=True, slots=True)
class PruneAdmin:
    """Pruning for an operator with access to the store. `trust` says whose keys sign the log and acknowledge it."""

    store: Store
    journal: Journal
    query: Query
    trust: Trust
    by: Principal = field(default_factory=operator)

    async def prune(self, until: Until, archive: Path | None, *, dry_run: bool = False) -> Pruned:
        """Move records to the archive, or without one discard them; a `dry_run` only says which.

        What is interrupted can be repeated. Raises `LogBroken` for a log that does not verify, `NotAnchored` where
        nothing that is due is acknowledged from elsewhere, `OnHold` where a hold keeps all of it, `StoreUnavailable`,
        and `OSError` where the archive cannot be written.
        """
        plan = await self.plan(until)
        pruned = Pruned(plan.first, plan.first, plan.due, plan.anchored)
        if dry_run:
            return replace(pruned, end=plan.end)
        while plan.first < plan.end:
            cut = await asyncio.to_thread(self._cut, plan)
            if cut.size <= plan.first:
                break
            said = {} if archive is None else await self._seal(archive, plan.first, cut)
            stored = await self._carry_out(plan, cut, said)
            names = (str(said["archive"]),) if "archive" in said else ()
            pruned = replace(pruned, end=cut.size, noted=(*pruned.noted, stored), segments=pruned.segments + names)
            plan = replace(plan, first=cut.size, cut=cut)
        await self.store.forget_old_pages()
        return pruned

    async def plan(self, until: Until) -> Plan:
        """What could be pruned now. Raises as `prune` does."""
        check = partial(verify, self.store.path, evidence=Evidence(trust=self.trust))
        report = await asyncio.to_thread(check)
        if report.error is not None:
            raise LogBroken(f"record {report.error.n}: {report.error.what}; nothing is pruned from such a log")
        if await self.store.reader.one("anchors_forked") is not None:
            raise LogBroken(
                "somebody elsewhere knows another log than this; nothing is pruned until that is understood"
            )
        holds = await Holds(self.store).all()
        cut = report.cut or _NO_CUT
        first = cut.size
        due = _whole(await self._due(until, report))
        anchored = report.anchored if isinstance(report.anchored, int) else 0
        if due > first and _whole(anchored) <= first:
            how = "was never" if anchored == 0 else f"is only up to {anchored} records"
            raise NotAnchored(f"The log {how} acknowledged from elsewhere by a witness that is trusted here.")
        end = max(first, min(due, _whole(anchored), _whole(await self._first_open())))
        free = _whole(await self._first_held(holds, first, end))
        if first < end and free <= first:
            raise OnHold("A legal hold keeps the oldest records from being pruned.")
        return Plan(first, min(end, free), due, anchored, holds, cut)

    async def _due(self, until: Until, report: Report) -> int:
        """The first record that is not old enough. A clock that runs ahead must not age records, so that no time later
        than the newest acknowledgement's counts."""
        if until.before is not None:
            limit = until.before
        else:
            elsewhere = 0 if report.newest is None else report.newest.time * 1_000_000
            limit = min(self.store.clock.now_us(), elsewhere or self.store.clock.now_us()) - (until.keep or 0)
        with Scan(self.store.path) as scan:
            return scan.first_since(limit)

    async def _first_open(self) -> int:
        row = await self.store.reader.one("inflight_first")
        return row[0] if row is not None and isinstance(row[0], int) else 2**62

    async def _first_held(self, holds: Iterable[Hold], first: int, end: int) -> int:
        """The first record of `[first, end)` on hold, or `end`."""
        for hold in holds:
            if hold.what == "all":
                return first
            wanted = Filters(actor=hold.name) if hold.what == "subject" else Filters(call=hold.name)
            async for numbers in self.query.oldest_first(replace(wanted, after=first - 1, before=end)):
                if numbers:
                    end = numbers[0]
                    break
        return end

    def _cut(self, plan: Plan) -> Cut:
        """What is to be known of the records up to the next cut. No change of keys is cut apart."""
        end = min(plan.end, _whole(plan.first) // STEP * STEP + STEP)
        cut = _advance(plan.cut, self._lines(plan.first, end))
        if cut.standing.following is None:
            return cut
        end = _whole(cut.standing.following[0])
        return _advance(plan.cut, self._lines(plan.first, end)) if end > plan.first else plan.cut

    def _lines(self, first: int, end: int) -> Iterator[list[tuple[int, bytes]]]:
        with Scan(self.store.path) as scan:
            yield from scan.chunks(first, end)

    async def _seal(self, archive: Path, first: int, cut: Cut) -> dict[str, object]:
        """Write the segment and its note, both durable; what the record says of them."""
        said = await asyncio.to_thread(archives.seal, archive, first, cut.size, self._lines(first, cut.size))
        described = {"origin": self.store.origin, "from": first, **cut.as_state(), **said, **await self._signed(cut)}
        await asyncio.to_thread(archives.note, archive, first, cut.size, described)
        failpoint("audit.archived")
        return said

    async def _signed(self, cut: Cut) -> dict[str, object]:
        """The newest checkpoint, and that the records up to the cut are the beginning of its log (RFC 9162 2.1.4)."""
        proofs = Proofs(self.store)
        signed = proofs.checkpoint()
        if signed is None or signed.size < cut.size:
            return {}
        new = Checkpoint.parse(parse_note(signed.note).text)
        old = Checkpoint(new.origin, cut.size, cut.frontier.root)
        proof = [node.hex() for node in await proofs.consistency(old, new)]
        return {"checkpoint": signed.note.decode(), "consistency": proof}

    async def _carry_out(self, plan: Plan, cut: Cut, said: dict[str, object]) -> int:
        state = {"what": "pruned", "from": plan.first, **cut.as_state(), "anchored": plan.anchored}
        state |= {"by": self.by.subject, **(said or {"discarded": 1})}
        work = together(unchanged(plan.holds), cutting(plan.first, cut.size, sorted(cut.waiting)))
        unit = Unit((self.journal.entry("prune", state),), work=work)
        for _ in range(_ATTEMPTS):
            try:
                (stored,) = await self.store.writer.submit(unit)
            except CutChanged:  # the index may only be behind
                await asyncio.sleep(_PAUSE)
            except HoldsChanged:
                raise StoreUnavailable("holds changed meanwhile", hint="run the command again") from None
            else:
                return stored.n
        raise StoreUnavailable("the log changed meanwhile", hint="run the command again")


def _advance(cut: Cut, chunks: Iterable[list[tuple[int, bytes]]]) -> Cut:
    """What is known of the records up to the end of some more lines."""
    frontier, waiting, standing, leaf = cut.frontier, set(cut.waiting), cut.standing, cut.leaf
    for chunk in chunks:
        leaves = [leaf_hash(line) for _, line in chunk]
        frontier, leaf = frontier.extend([bytes.fromhex(each) for each in leaves]), leaves[-1]
        standing = standing.after(noted([PREFIX + line for _, line in chunk], chunk[0][0]))
        for n, line in chunk:
            record = orjson.loads(line)
            if record["kind"] == "intent":
                waiting.add(n)
            elif record["kind"] == "outcome" and "of" in record:
                waiting.discard(record["of"])
    return Cut(frontier.size, leaf, frontier, frozenset(waiting), standing)


def _whole(n: int) -> int:
    """The last place at or before a record at which a tile ends."""
    return n // TILE * TILE

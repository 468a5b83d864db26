"""The pen of the pipeline: an intent is durable before the act, an outcome before the answer.

What could not be written is not forgotten: outcomes wait here and are written first once the store works again, so
while the process lives every intent ends in one outcome. What dies with the process is closed as unknown by the next.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain

import orjson

from mcp_guard.audit import record
from mcp_guard.audit.backlog import Backlog, Pending
from mcp_guard.audit.commitment import Commitment, commit, commit_value
from mcp_guard.audit.facts import CallFacts, Ending
from mcp_guard.audit.faults import Faults
from mcp_guard.audit.health import Health
from mcp_guard.audit.listings import Listings
from mcp_guard.audit.pseudonyms import Pseudonyms
from mcp_guard.audit.repeats import sensitive_texts, without
from mcp_guard.kit import pointer
from mcp_guard.kit.failpoint import failpoint
from mcp_guard.model import context
from mcp_guard.model.codes import Code
from mcp_guard.model.errors import StoreUnavailable
from mcp_guard.model.kept import BEGINNING
from mcp_guard.model.principal import Principal
from mcp_guard.store.errors import InDoubt, IntentClosed
from mcp_guard.store.store import Store
from mcp_guard.store.transaction import Transaction, Work
from mcp_guard.store.values import Entry, Side, Stored, Unit

Redact = Callable[[object], object]
Storing = asyncio.Future[tuple[Stored, ...]]

STANDING = "standing"
"""The key of `meta` under which the last serving process says what is in force."""


class Journal:
    """Writes the log of one store, on behalf of one event loop.

    Every writing method returns once the record is durable, and raises `StoreUnavailable` where it is not: after a
    failed `intent` nothing may be done, after a failed `outcome` nothing may be answered.
    """

    def __init__(self, store: Store, *, redact: Redact | None = None, pseudonyms: Pseudonyms | None = None) -> None:
        self._store = store
        self._boot = store.boot
        self._writer = store.writer
        self._clock = store.clock
        self._redact = redact
        self._pseudonyms = pseudonyms
        self._health = Health(store.clock)
        self._backlog = Backlog(store.writer, self._health, partial(self.entry, "fault"))
        self._loose: set[Storing] = set()
        self._faults = Faults(store.clock, self._write_fault)
        self._listings = Listings(store.clock, self.read)

    @property
    def origin(self) -> str:
        """The name of the log, `<name>/<instance>`."""
        return self._store.origin

    @property
    def health(self) -> Health:
        """Whether writing works, since when it does not, why, and how much waits."""
        self._health.queued = self._writer.queued
        self._health.kept = len(self._backlog)
        failure = self._writer.signing_failure
        self._health.signing = failure.message if failure else ""
        return self._health

    def checkpoint(self, stored: Stored) -> str | None:
        """A signed note that covers a record, where the log is signed: of its own batch, or a later one."""
        signed = self._writer.signed
        return signed.note.decode() if signed is not None and signed.size > stored.n else None

    def require_writable(self) -> None:
        """Raise `StoreUnavailable` while writing fails, before an act that has no intent of its own is begun."""
        if not self._health.ok:
            raise StoreUnavailable(self._health.reason, hint=self._health.hint)

    def entry(self, kind: record.StateKind, state: Mapping[str, object], principal: Principal | None = None) -> Entry:
        """A record for a unit of somebody else, so that rows and their record commit together."""
        return Entry(self._state(kind, state, principal))

    async def intent(self, facts: CallFacts, work: Work | None = None, undo: Work | None = None) -> Stored:
        """Record what is about to be done; rows of `work` commit with the record, and what it raises forbids the act.
        Where the journal ends the call itself, `undo` commits with the outcome.

        The caller owes the log an `outcome` for it.

        So does it after `StoreUnavailable`, but not after `InDoubt` or when cancelled: then whether the intent is
        stored is not known yet, and the journal ends the call once it is.
        """
        facts = self._clean(facts)
        commitments, sides = self._call_sides(facts)
        body = record.intent(self._boot, facts, commitments)
        self._backlog.flush()
        entry = Entry(body, tuple(sides), opens=True, traits=record.traits("intent", facts), ids=record.ids(facts))
        future = self._submit(Unit((entry,), work=work))
        try:
            (stored,) = await asyncio.shield(future)
        except StoreUnavailable as error:
            self._backlog.failed(error)
            if isinstance(error, InDoubt):
                self._end_unacted(facts, "audit_unavailable", undo, future)
            raise
        except asyncio.CancelledError:
            self._let_go(future, partial(self._end_unacted, facts, "cancelled", undo))
            raise
        self._backlog.worked()
        failpoint("audit.after-intent")
        return stored

    async def outcome(
        self, facts: CallFacts, ending: Ending, intent: Stored | None = None, work: Work | None = None
    ) -> Stored:
        """Record how a call ended, with or without an intent before it; rows of `work` commit with the record."""
        failpoint("audit.before-outcome")
        facts = self._clean(facts)
        of = None if intent is None else intent.n
        acted = ending.executed != "no"
        stored = await self._write_outcome(Pending(self._ending(facts, ending, of), work=work, acted=acted))
        failpoint("audit.after-outcome")
        return stored

    def outcome_soon(
        self, facts: CallFacts, ending: Ending, intent: Stored | None = None, work: Work | None = None
    ) -> Storing:
        """Hand the outcome of a call over that nobody is answered with yet; the future says when it is durable. What
        is handed over later is written later. One that could not be stored is kept, as after `outcome`.
        """
        failpoint("audit.before-outcome")
        of, acted = None if intent is None else intent.n, ending.executed != "no"
        pending = Pending(self._ending(self._clean(facts), ending, of), work=work, acted=acted)
        future = self._submitted(pending)
        self._let_go(future, partial(self._handed_over, pending))
        return future

    async def begun(self, facts: CallFacts, ending: Ending, state: Mapping[str, object], work: Work) -> Stored:
        """Record that a call began as a task (`state`) and how it ended so far, in one commit with the task's rows.

        Raises what `work` raises, and then records nothing. After `InDoubt` or when cancelled the journal sees to it
        that the call has its one outcome.
        """
        facts = self._clean(facts)
        begins = Entry(record.state(self._boot, "task", state, facts.principal))
        self._backlog.flush()
        future = self._submit(Unit((begins, self._ending(facts, ending, None)), work=work))
        try:
            _, stored = await asyncio.shield(future)
        except StoreUnavailable as error:
            self._backlog.failed(error)
            if isinstance(error, InDoubt):
                self._end_unbegun(facts, "audit_unavailable", future)
            raise
        except asyncio.CancelledError:
            self._let_go(future, partial(self._end_unbegun, facts, "cancelled"))
            raise
        self._backlog.worked()
        failpoint("audit.after-outcome")
        return stored

    async def read(self, principal: Principal, state: Mapping[str, object], work: Work | None = None) -> Stored:
        """Record that somebody read the log; rows of `work` commit with the record."""
        return await self._write(self._state("read", state, principal), work)

    async def approval(self, actor: Principal, about: Mapping[str, object], work: Work) -> Stored:
        """Record what was asked of people or what they said, in one commit with the rows that make it so.

        Raises what `work` raises, and then records nothing.
        """
        if self._pseudonyms is not None:
            about = self._pseudonyms.state(about)
        return await self._write(record.approval(self._boot, self._known(actor), about), work)

    async def task(
        self, state: Mapping[str, object], actor: Principal | None = None, work: Work | None = None
    ) -> Stored:
        """Record what became of a task outside its calls; rows of `work` commit with the record."""
        return await self._write(self._state("task", state, actor), work)

    async def listed(self, principal: Principal, state: Mapping[str, object]) -> None:
        """Record what a list showed (`listings.state`). The same list of a principal within 60 s is counted.

        While writing fails nothing is counted: then a list that cannot be recorded cannot be answered either.
        """
        if self._health.ok:
            await self._listings.note(principal, state)
        else:
            await self.read(principal, state)

    async def config(
        self,
        state: Mapping[str, object],
        principal: Principal | None = None,
        *,
        standing: Mapping[str, object] | None = None,
        work: Work | None = None,
    ) -> Stored:
        """Record that configuration, policy or manifests took effect or were refused.

        `standing` is what is in force from then on, for status; `work` are rows of the caller that commit with it.
        """
        return await self._write(self._state("config", state, principal), _standing(standing, work))

    async def boot(self, state: Mapping[str, object], *, standing: Mapping[str, object] | None = None) -> Stored:
        """Record the start of a serving process, and what is in force then."""
        return await self._write(self._state("boot", state), _standing(standing))

    async def anchored(self, state: Mapping[str, object], work: Work) -> Stored:
        """Record that somebody elsewhere acknowledged the log, in one commit with the rows of `work`."""
        return await self._write(self._state("anchor", state), work)

    async def shutdown(self, state: Mapping[str, object]) -> Stored:
        """Record its orderly end."""
        return await self._write(self._state("shutdown", state))

    async def fault(self, code: str, where: str, **more: str | int) -> None:
        """Record something that went wrong outside a call. Never raises.

        `code` and `where` are words of the guard's own. The same pair within 60 s is counted and recorded once, so
        that garbage from strangers cannot fill the disk.
        """
        await self._faults.note(code, where, more)

    async def recover(self) -> int:
        """Close the intents of processes that are gone, as unknown; how many. For serving processes only."""
        rows = await self._store.reader.all("inflight_all")
        alive = {boot: self._store.liveness.is_alive(boot) for boot in {str(boot) for _, boot, _ in rows}}
        orphans = [
            self._close_orphan(n, orjson.loads(line))
            for n, boot, line in rows
            if not alive[str(boot)] and isinstance(n, int) and isinstance(line, str)
        ]
        closed = sum(await asyncio.gather(*orphans))
        self._store.liveness.sweep()
        return closed

    async def aclose(self) -> None:
        """Write what was counted or kept back. The store stays open."""
        await self._faults.aclose()
        await self._listings.aclose()
        if self._loose:
            await asyncio.wait(set(self._loose))
        await self._backlog.aclose()

    async def _write(self, body: bytes, work: Work | None = None) -> Stored:
        self._backlog.flush()
        try:
            (stored,) = await self._submit(Unit((Entry(body),), work=work))
        except StoreUnavailable as error:
            self._backlog.failed(error)
            raise
        self._backlog.worked()
        return stored

    def _submitted(self, pending: Pending) -> Storing:
        """Hand an outcome to the writer; one it does not take is kept."""
        self._backlog.flush()
        try:
            return self._submit(pending.unit())
        except StoreUnavailable:
            self._backlog.keep(pending)
            raise

    async def _write_outcome(self, pending: Pending) -> Stored:
        future = self._submitted(pending)
        try:
            (stored,) = await asyncio.shield(future)
        except IntentClosed:
            raise
        except StoreUnavailable as error:
            self._backlog.failed(error, pending)
            raise
        except asyncio.CancelledError:
            self._let_go(future, partial(self._backlog.keep_if_failed, pending))
            raise
        except Exception:  # noqa: BLE001 - its own rows were refused: the call still ends in one outcome, and unanswered
            self._backlog.keep(pending.alone())
            raise StoreUnavailable("what belongs to the outcome cannot be stored") from None
        self._backlog.worked()
        return stored

    async def _write_fault(self, state: Mapping[str, object]) -> None:
        await self._write(self._state("fault", state))

    async def _close_orphan(self, n: int, intent: Mapping[str, object]) -> int:
        body = record.orphan(self._boot, intent, self._clock.now_us())
        try:
            await self._submit(Unit((Entry(body, closes=n),), ends=True))
        except IntentClosed:
            return 0
        return 1

    def _submit(self, unit: Unit) -> Storing:
        try:
            return self._writer.submit(unit)
        except StoreUnavailable as error:
            self._backlog.failed(error)
            raise

    def _ending(self, facts: CallFacts, ending: Ending, of: int | None) -> Entry:
        """The outcome of a call: of its intent, or on its own and then with what the intent would have said."""
        commitments, sides = self._call_sides(facts) if of is None else ({}, [])
        if ending.has_result:
            hidden = facts.sensitive
            if ending.whole is not None:
                commitments["kept"], salt = commit(ending.whole.encoded)
                sides.append(Side("kept", salt, None))
                hidden = tuple(pointer.join([BEGINNING]) + where for where in hidden)
            commitments["result"], kept = self._commit("result", ending.result, hidden, _repeats(facts, ending))
            sides += kept
        if answered := [one for one in ending.asked if one.answer is not None]:
            secret = [
                [f"/{n}{where}" for where in (*one.sensitive, *facts.sensitive)] for n, one in enumerate(answered)
            ]
            commitments["answers"], kept = self._commit(
                "answers", [one.answer for one in answered], tuple(chain(*secret)), _repeats(facts, ending)
            )
            sides += kept
        body = record.outcome(self._boot, facts, ending, of, commitments)
        traits = record.traits("outcome", facts, ending)
        return Entry(body, tuple(sides), closes=of, traits=traits, ids=record.ids(facts))

    def _state(self, kind: record.StateKind, state: Mapping[str, object], principal: Principal | None = None) -> bytes:
        if self._pseudonyms is not None:
            state = self._pseudonyms.state(state)
        return record.state(self._boot, kind, state, None if principal is None else self._known(principal))

    def _clean(self, facts: CallFacts) -> CallFacts:
        """Redact what strangers may write secrets into: the name of a tool that is not there, the client's own name."""
        tool = facts.tool if facts.fingerprint or self._redact is None else str(self._redact(facts.tool))
        principal = self._known(facts.principal)
        decision = facts.decision
        if decision is not None and self._pseudonyms is not None:
            decision = self._pseudonyms.decision(decision)
        if tool == facts.tool and principal is facts.principal and decision is facts.decision:
            return facts
        return replace(facts, tool=tool, principal=principal, decision=decision)

    def _known(self, principal: Principal) -> Principal:
        """The principal as records name them."""
        if self._redact is not None and principal.software:
            software = str(self._redact(principal.software))
            principal = principal if software == principal.software else principal.using(software)
        return principal if self._pseudonyms is None else self._pseudonyms.principal(principal)

    def _call_sides(self, facts: CallFacts) -> tuple[dict[str, Commitment], list[Side]]:
        """Commitments to what a call was asked with, and what stands beside the record."""
        fields: dict[str, Commitment] = {}
        sides: list[Side] = []
        clean = _repeats(facts)
        if facts.arguments is not None:
            fields["args"], kept = self._commit("args", facts.arguments, facts.sensitive, clean)
            sides += kept
        if facts.justification is not None:
            fields["why"], kept = self._commit("why", facts.justification, (), clean)
            sides += kept
        if facts.decision is not None and facts.asked is not None:
            inputs = context.of_request(facts.asked)
            fields[record.INPUTS], kept = self._commit(record.INPUTS, inputs, facts.sensitive_attributes, clean)
            sides += kept
        return fields, sides

    def _commit(
        self, field: str, value: object, sensitive: tuple[str, ...], clean: Redact | None
    ) -> tuple[Commitment, tuple[Side, ...]]:
        return commit_value(field, self._redact(value) if self._redact else value, sensitive, clean)

    def _let_go(self, future: Storing, settle: Callable[[Storing], None]) -> None:
        """See to a record whose caller no longer waits for it."""
        self._loose.add(future)
        future.add_done_callback(settle)
        future.add_done_callback(self._loose.discard)

    def _handed_over(self, pending: Pending, future: Storing) -> None:
        """See to an outcome nobody waits for."""
        self._backlog.keep_if_failed(pending, future)
        if not future.cancelled() and future.exception() is None:
            self._backlog.worked()
            failpoint("audit.after-outcome")

    def _end_unbegun(self, facts: CallFacts, code: Code, future: Storing) -> None:
        """End a call whose task was not begun, or nobody knows whether: by the outcome that began it where it is
        stored, else by one that says why not."""
        error = future.exception()
        if error is None:
            return
        ending = Ending("cancelled" if code == "cancelled" else "error", "no", 0, code=code)
        unless = error.would_be[-1] if isinstance(error, InDoubt) else None
        self._backlog.keep(Pending(self._ending(facts, ending, None), unless=unless))
        self._backlog.flush()

    def _end_unacted(self, facts: CallFacts, code: Code, undo: Work | None, future: Storing) -> None:
        """End a call that never acted and whose caller does not: by its intent if that is stored, else without one."""
        ending = Ending("cancelled" if code == "cancelled" else "error", "no", 0, code=code)
        error = future.exception()
        doubtful = isinstance(error, InDoubt)
        intent: Stored | None = None
        if error is None:
            (intent,) = future.result()
        elif isinstance(error, InDoubt):
            (intent,) = error.would_be
        if intent is not None:
            entry = self._ending(facts, ending, intent.n)
            self._backlog.keep(Pending(entry, work=undo, only_if=intent if doubtful else None))
        if intent is None or doubtful:
            self._backlog.keep(Pending(self._ending(facts, ending, None), unless=intent))
        self._backlog.flush()


def _repeats(facts: CallFacts, ending: Ending | None = None) -> Redact | None:
    """What removes repetitions of the sensitive parts of a call from the rest of it; `None` where there are none."""
    answered = [] if ending is None else [one for one in ending.asked if one.answer is not None]
    if not facts.sensitive and not any(one.sensitive for one in answered):
        return None
    result = None if ending is None else ending.result if ending.whole is None else ending.whole.value
    parts = [(facts.arguments, facts.sensitive), (result, facts.sensitive)]
    parts += [(one.answer, (*one.sensitive, *facts.sensitive)) for one in answered]
    texts = sensitive_texts(parts)
    return (lambda value: without(value, texts)) if texts else None


def _standing(standing: Mapping[str, object] | None, work: Work | None = None) -> Work | None:
    """`work`, and the note of what is in force, which commits with the record that says so."""
    if standing is None:
        return work
    text = orjson.dumps(standing).decode()

    def note(transaction: Transaction) -> None:
        if work is not None:
            work(transaction)
        transaction.run("meta_put", {"key": STANDING, "value": text})

    return note

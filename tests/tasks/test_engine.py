"""What every engine promises, held on each of them; and the embedded one against the reference, for any history."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mcp_guard.model.call import FinishedTask
from mcp_guard.model.moves import IllegalMove, StepState, TaskStatus
from mcp_guard.model.principal import Principal
from mcp_guard.store.transaction import Work, together
from mcp_guard.tasks.engine import MOST_WAITING, Alike, Engine, Moved, NewTask, Passed, Rest, TooManyWaiting
from mcp_guard.tasks.task import Step
from tests.tasks.engines import Engines, ReferenceEngines, SqliteEngines

ALICE = Principal(subject="user:alice", client="agent:a", tenant="acme", auth="bearer", assurance="token")
BOB = Principal(subject="user:bob", client="agent:a", tenant="acme", auth="bearer", assurance="token")
FIRST, SECOND = f"{1:016x}", f"{2:016x}"
S, T = StepState, TaskStatus


def _new(
    name: str,
    now: int = 10,
    *,
    who: Principal = ALICE,
    waits: bool = False,
    alike: str = "",
    claimed: bool = False,
) -> NewTask:
    status, state = (T.INPUT_REQUIRED, S.WAITING) if waits else (T.WORKING, S.PENDING)
    step, whose = Step("call", state), (who.subject, who.client, who.tenant)
    return NewTask(name, "tool", status, *whose, alike or name, b"sealed", "begun", now, now, step, claimed)


@pytest.fixture(params=["sqlite", "reference"])
def engines(request: pytest.FixtureRequest, tmp_path: Path) -> Engines:
    return SqliteEngines(tmp_path) if request.param == "sqlite" else ReferenceEngines()


@pytest.fixture
def engine(engines: Engines) -> Engine:
    return engines.start(FIRST)


async def _owner(engine: Engine, name: str) -> tuple[str | None, int | None]:
    task = await engine.find(name)
    assert task is not None
    return task.owner, task.wake_at


@pytest.mark.holds("engine:promises")
async def test_the_same_call_is_one_task_until_it_ended(engine: Engine) -> None:
    await engine.commit(engine.beginning(_new("a", alike="same")))
    with pytest.raises(Alike) as known:
        await engine.commit(engine.beginning(_new("b", alike="same")))
    assert known.value.task == "a"
    with pytest.raises(Alike):
        await engine.commit(engine.apart("same"))
    await engine.commit(engine.moving("a", T.WORKING, T.FAILED, message="", now=11))
    await engine.commit(engine.apart("same"))
    await engine.commit(engine.beginning(_new("b", alike="same")))
    assert [task.id for task in await engine.all()] == ["a", "b"]


@pytest.mark.holds("engine:promises")
async def test_one_person_has_so_many_calls_waiting_and_no_more(engine: Engine) -> None:
    for number in range(MOST_WAITING):
        await engine.commit(engine.beginning(_new(f"t{number}", waits=True)))
    with pytest.raises(TooManyWaiting):
        await engine.commit(engine.beginning(_new("more", waits=True)))
    with pytest.raises(TooManyWaiting):
        await engine.commit(engine.beginning(_new("working")))
    await engine.commit(engine.beginning(_new("bobs", who=BOB, waits=True)))
    assert await engine.find("more") is None


@pytest.mark.holds("engine:promises")
async def test_what_works_counts_as_well_because_it_may_come_to_wait(engine: Engine) -> None:
    for number in range(MOST_WAITING):
        await engine.commit(engine.beginning(_new(f"t{number}")))
    with pytest.raises(TooManyWaiting):
        await engine.commit(engine.beginning(_new("more", waits=True)))


@pytest.mark.holds("engine:promises")
async def test_due_tasks_can_be_passed_over(engine: Engine) -> None:
    for number, (name, who) in enumerate({"a": ALICE, "b": ALICE, "c": BOB, "d": ALICE}.items()):
        await engine.commit(engine.beginning(_new(name, who=who, now=10 + number)))
    await engine.commit(engine.claiming("b", None))
    due = await engine.all_due(99, 9)
    assert [it.id for it in due] == ["a", "b", "c", "d"]
    owner, alice = due[1].owner, due[0].requester
    assert owner is not None
    passed = {
        "acd": Passed(owners=[owner]),
        "bcd": Passed(tasks=["a"]),
        "c": Passed(requesters=[alice]),
        "d": Passed(["a", "nobody"], [owner], [due[2].requester]),
    }
    for left, over in passed.items():
        assert "".join(it.id for it in await engine.all_due(99, 9, over)) == left


@pytest.mark.holds("engine:promises")
async def test_a_commit_happens_whole_or_not_at_all(engine: Engine) -> None:
    await engine.commit(engine.beginning(_new("a")))
    step = engine.stepping("a", S.PENDING, Step("call", S.STARTED, 1, "c"), 11)
    late = engine.moving("a", T.INPUT_REQUIRED, T.WORKING, message="", now=11)
    with pytest.raises(Moved):
        await engine.commit(together(step, late))
    assert [row.state for row in await engine.steps("a")] == [S.PENDING]
    await engine.commit(step)
    with pytest.raises(Moved):
        await engine.commit(step)


@pytest.mark.holds("engine:promises")
async def test_what_does_not_follow_is_refused_before_any_commit(engine: Engine) -> None:
    with pytest.raises(IllegalMove):
        engine.stepping("a", S.DONE, Step("call", S.STARTED), 1)
    with pytest.raises(IllegalMove):
        engine.moving("a", T.COMPLETED, T.WORKING, message="", now=1)


@pytest.mark.holds("engine:promises")
async def test_one_process_works_on_a_task_and_the_next_only_when_it_is_gone(engines: Engines, engine: Engine) -> None:
    other = engines.start(SECOND)
    await engine.commit(engine.beginning(_new("a")))
    await engine.commit(engine.claiming("a", None))
    with pytest.raises(Moved):
        await other.commit(other.claiming("a", None))
    assert not other.is_free(FIRST)
    await other.commit(other.releasing("a", Rest(99, forced=True), 12))
    assert await _owner(other, "a") == (FIRST, 10), "only who works on it puts it down"
    await engines.die(FIRST)
    assert other.is_free(FIRST)
    await other.commit(other.claiming("a", FIRST))
    await other.commit(other.moving("a", T.WORKING, T.COMPLETED, message="", now=13))
    await other.commit(other.releasing("a", Rest(None, forced=True), 13))
    with pytest.raises(Moved):
        await other.commit(other.claiming("a", None))
    assert await other.all_due(2**60, 9) == []


@pytest.mark.holds("engine:promises", "workflow:woken")
async def test_who_wakes_a_task_just_as_it_is_put_down_is_heard(engine: Engine) -> None:
    await engine.commit(engine.beginning(_new("a", now=10)))
    await engine.commit(engine.claiming("a", None))
    await engine.commit(engine.waking("a", 12))
    await engine.commit(engine.releasing("a", Rest(500, seen=10), 13))
    assert await _owner(engine, "a") == (None, 12)
    assert (engine.next_wake(), await engine.all_due(12, 9)) == (12, [("a", None, "user:alice acme")])
    await engine.commit(engine.claiming("a", None))
    await engine.commit(engine.releasing("a", Rest(500, seen=12), 14))
    assert (engine.next_wake(), await engine.all_due(499, 9)) == (500, [])


@pytest.mark.holds("engine:promises")
async def test_who_asked_is_told_of_the_end_once(engine: Engine) -> None:
    await engine.commit(engine.beginning(_new("a")))
    assert not engine.has_untold(ALICE)
    await engine.commit(engine.moving("a", T.WORKING, T.COMPLETED, message="", now=11, result=b"r"))
    assert engine.has_untold(ALICE)
    assert not engine.has_untold(BOB)
    found = await engine.untold(ALICE, 9)
    assert found == [FinishedTask("a", "completed")]
    await engine.commit(engine.telling(found))
    with pytest.raises(Moved):
        await engine.commit(engine.telling(found))
    assert not engine.has_untold(ALICE)
    await engine.commit(engine.beginning(_new("b")))
    await engine.commit(engine.moving("b", T.WORKING, T.COMPLETED, message="", now=12, told=True))
    assert not engine.has_untold(ALICE)


@pytest.mark.holds("engine:promises")
async def test_who_makes_a_task_may_work_on_it_at_once_and_has_nothing_to_put_down(engines: Engines) -> None:
    engine, other = engines.start(FIRST), engines.start(SECOND)
    await engine.commit(engine.beginning(_new("a", claimed=True)))
    assert await _owner(engine, "a") == (FIRST, 10)
    assert (engine.is_mine(FIRST), other.is_mine(FIRST), engine.is_mine(None)) == (True, False, False)
    with pytest.raises(Moved):
        await other.commit(other.claiming("a", None))
    await engine.commit(engine.moving("a", T.WORKING, T.COMPLETED, message="", now=11))
    assert await _owner(other, "a") == (None, None)


@pytest.mark.holds("engine:promises")
async def test_what_was_worked_out_from_steps_counts_while_they_stand(engine: Engine) -> None:
    await engine.commit(engine.beginning(_new("a")))
    (row,) = await engine.steps("a")
    await engine.commit(engine.unchanged("a", [row]))
    for others in ([], [replace(row, attempt=1)], [row, Step("b", S.DONE)], [replace(row, id="b")]):
        with pytest.raises(Moved):
            await engine.commit(engine.unchanged("a", others))
    await engine.commit(engine.stepping("a", None, Step("cancel", S.PENDING), 11))
    with pytest.raises(Moved):
        await engine.commit(engine.unchanged("a", [row]))


# --- any history ----------------------------------------------------------------------------------------------------

_R = TypeVar("_R")
NAMES = st.sampled_from(["t0", "t1", "t2", "t3"])
STEPS = st.sampled_from(["call", "pay"])
MOMENTS = st.integers(1, 6)
RESTS = st.builds(Rest, st.none() | MOMENTS, st.none() | MOMENTS, st.booleans())


class History(RuleBasedStateMachine):
    """The same changes on both engines, also those that cannot be: the same answers, and the same to be seen."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory()
        self._boots = 0
        self.worlds: list[Engines] = [SqliteEngines(Path(self._folder.name)), ReferenceEngines()]
        self.living: dict[str, list[Engine]] = {}
        self.known: list[str] = []

    def _run(self, work: Coroutine[Any, Any, _R]) -> _R:
        return self._loop.run(work)

    def _both(self, change: Callable[[Engine], Work], draw: st.DataObject | None = None) -> None:
        """Commit a change on both, by some living process."""
        boots = sorted(self.living)
        boot = boots[-1] if draw is None else draw.draw(st.sampled_from(boots))

        async def commit(engine: Engine) -> str:
            try:
                await engine.commit(change(engine))
            except (Moved, Alike, TooManyWaiting, IllegalMove) as error:
                return type(error).__name__
            return "committed"

        said = [self._run(commit(engine)) for engine in self.living[boot]]
        assert said[0] == said[1]

    @initialize()
    def first(self) -> None:
        self._start()

    @rule()
    @precondition(lambda self: len(self.living) < 2)
    def start(self) -> None:
        self._start()

    def _start(self) -> None:
        self._boots += 1
        boot = f"{self._boots:016x}"
        self.living[boot] = [world.start(boot) for world in self.worlds]
        self.known.append(boot)

    @rule(draw=st.data())
    @precondition(lambda self: len(self.living) > 1)
    def die(self, draw: st.DataObject) -> None:
        boot = draw.draw(st.sampled_from(sorted(self.living)))
        del self.living[boot]
        for world in self.worlds:
            self._run(world.die(boot))

    @rule(name=NAMES, now=MOMENTS, waits=st.booleans(), claimed=st.booleans(), draw=st.data())
    def begin(self, name: str, now: int, waits: bool, claimed: bool, draw: st.DataObject) -> None:
        who, alike = draw.draw(st.sampled_from([ALICE, BOB])), draw.draw(STEPS)
        if self._run(self.living[max(self.living)][1].find(name)) is None:  # an id is never used twice
            new = _new(name, now, who=who, waits=waits, alike=alike, claimed=claimed)
            self._both(lambda engine: engine.beginning(new), draw)

    @rule(name=NAMES, now=MOMENTS, wake=st.none() | MOMENTS, draw=st.data())
    def move(self, name: str, now: int, wake: int | None, draw: st.DataObject) -> None:
        before, after = draw.draw(st.sampled_from(T)), draw.draw(st.sampled_from(T))
        result, told = draw.draw(st.sampled_from([None, b"r"])), draw.draw(st.booleans())
        self._both(
            lambda engine: engine.moving(
                name, before, after, message=f"m{now}", now=now, wake_at=wake, result=result, told=told
            )
        )

    @rule(name=NAMES, step=STEPS, now=MOMENTS, draw=st.data())
    def step_and_move(self, name: str, step: str, now: int, draw: st.DataObject) -> None:
        """Two changes in one commit, of which either may not be possible."""
        before = draw.draw(st.none() | st.sampled_from(S))
        row = Step(step, draw.draw(st.sampled_from(S)), draw.draw(st.integers(0, 3)), "c", code=None)
        at = draw.draw(st.sampled_from([T.WORKING, T.INPUT_REQUIRED]))
        self._both(
            lambda engine: together(
                engine.stepping(name, before, row, now),
                engine.moving(name, at, T.WORKING, message="m", now=now, wake_at=now),
            )
        )

    @rule(name=NAMES, step=STEPS, state=st.sampled_from(S), attempt=st.integers(0, 3))
    def stand(self, name: str, step: str, state: StepState, attempt: int) -> None:
        self._both(lambda engine: engine.unchanged(name, [Step(step, state, attempt, "c")]))

    @rule(alike=STEPS)
    def apart(self, alike: str) -> None:
        self._both(lambda engine: engine.apart(alike))

    @rule(name=NAMES, now=MOMENTS)
    def wake(self, name: str, now: int) -> None:
        self._both(lambda engine: engine.waking(name, now))

    @rule(name=NAMES, draw=st.data())
    def claim(self, name: str, draw: st.DataObject) -> None:
        before = draw.draw(st.none() | st.sampled_from(self.known))
        self._both(lambda engine: engine.claiming(name, before), draw)

    @rule(name=NAMES, now=MOMENTS, rest=RESTS, draw=st.data())
    def release(self, name: str, now: int, rest: Rest, draw: st.DataObject) -> None:
        self._both(lambda engine: engine.releasing(name, rest, now), draw)

    @rule(name=NAMES)
    def tell(self, name: str) -> None:
        self._both(lambda engine: engine.telling([FinishedTask(name, "completed")]))

    @invariant()
    def the_same_is_seen(self) -> None:
        for ours, reference in self.living.values():
            seen, wanted = [self._run(_seen(engine, self.known)) for engine in (ours, reference)]
            assert seen == wanted

    def teardown(self) -> None:
        for boot in sorted(self.living):
            self._run(self.worlds[0].die(boot))
        self._loop.close()
        self._folder.cleanup()


async def _seen(engine: Engine, boots: list[str]) -> list[object]:
    """All that can be asked of an engine."""
    tasks = await engine.all()
    names = [task.id for task in tasks]
    return [
        tasks,
        [await engine.find(name) for name in names],
        [await engine.steps(name) for name in names],
        await engine.attempts(names),
        [[task.id for task in await engine.all(before=name, limit=2)] for name in names],
        [task.id for task in await engine.all(status=T.WORKING, subject="user:bob", tenant="acme")],
        [await engine.all(tool="another"), await engine.all(before="nobody")],
        engine.next_wake(),
        [await engine.all_due(now, 2) for now in (2, 4, 2**60)],
        [(engine.has_untold(who), sorted(one.task for one in await engine.untold(who, 9))) for who in (ALICE, BOB)],
        [engine.is_free(boot) for boot in (None, *boots)],
    ]


TestHistory = pytest.mark.holds("engine:oracle")(History.TestCase)
TestHistory.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


@pytest.mark.holds("engine:promises")
async def test_what_others_commit_can_be_seen_from_outside(engines: Engines, engine: Engine) -> None:
    other = engines.start(SECOND)
    before = engine.stamp()
    assert engine.stamp() == before
    await other.commit(other.beginning(_new("a")))
    assert engine.stamp() != before

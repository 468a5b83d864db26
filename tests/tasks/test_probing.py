"""What becomes of a step in doubt, for any way the world and its probe may be."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.model.moves import StepState
from mcp_guard.model.tool import CallStep, Probe, Retry
from mcp_guard.tasks.interpreter import Moment, Run, Sleep
from mcp_guard.tasks.probing import Asked, Happened, NotHappened, Unclear, next_inquiry, probe_id
from mcp_guard.tasks.task import Step
from mcp_guard.tasks.templates import Scope

RETRY = Retry(3, frozenset({"connect"}), 0.2, 5.0)
CALL = CallStep("probe", "find", {"id": "{input.id}", "key": "{call.key}"}, retry=RETRY, fingerprint="f")
PROBE = Probe(CALL, "{result.found}", {"id": "{result.id}"}, 30.0)
SCOPE: Scope = {"input": {"id": 7}, "call": {"key": "k"}}
DOUBT = Step("pay", StepState.IN_DOUBT, 2, "c", updated_at=1_000)
DUE = 30_001_000


def _asked(found: object, **more: object) -> Asked:
    return Asked(Step(probe_id(DOUBT), StepState.DONE, 1, "p"), {"found": found, **more})


def _next(asked: Asked | None, now: int = DUE, probe: Probe | None = PROBE, scope: Scope = SCOPE) -> object:
    return next_inquiry(probe, DOUBT, asked, scope, Moment("t", now, 0))


@pytest.mark.holds("probe:decides")
def test_nothing_is_asked_before_it_settled() -> None:
    assert _next(None, DUE - 1) == Sleep(DUE)
    asking = replace(CALL, id="pay.probe.2")
    assert _next(None) == Run(asking, {"id": 7, "key": "k"})
    died_asking = Asked(Step("pay.probe.2", StepState.STARTED, 1, "p", updated_at=DUE))
    assert _next(died_asking) == Run(asking, {"id": 7, "key": "k"})


@pytest.mark.holds("probe:decides")
@pytest.mark.parametrize("found", [None, "yes", "true", "", "1", 2, -1, 0.0, 1.0, [], [1], {}, {"found": True}])
def test_what_is_neither_yes_nor_no_is_a_persons(found: object) -> None:
    assert isinstance(_next(_asked(found, id=1)), Unclear)
    assert isinstance(_next(Asked(Step(probe_id(DOUBT), StepState.DONE, 1), {"id": 1})), Unclear)


@pytest.mark.holds("probe:decides")
def test_yes_gives_the_result_it_is_said_to_give_and_no_gives_none() -> None:
    for yes, no in ((True, False), (1, 0)):
        assert _next(_asked(yes, id=3)) == Happened({"id": 3})
        assert _next(_asked(no, id=3)) == NotHappened()
    assert isinstance(_next(_asked(True)), Unclear), "its result has no id"
    whole = replace(PROBE, output=None)
    assert _next(_asked(True), probe=whole) == Happened({"found": True})


@pytest.mark.holds("probe:decides")
def test_a_probe_that_fails_or_is_not_there_leaves_it_to_a_person() -> None:
    refused = Step(probe_id(DOUBT), StepState.FAILED, 0, code="policy_denied")
    said = _next(Asked(refused, {"guard": {"reason": "not for you"}, "found": True}))
    assert said == Unclear("find could not say: not for you", "policy_denied")
    assert isinstance(_next(Asked(refused)), Unclear)
    assert isinstance(_next(None, probe=None), Unclear)
    assert isinstance(_next(None, scope={"input": {}, "call": {"key": "k"}}), Unclear)


@pytest.mark.holds("probe:decides")
def test_a_failure_for_now_is_waited_out() -> None:
    failed = Step(probe_id(DOUBT), StepState.PENDING, 1, "p", code="upstream_unavailable", updated_at=DUE)
    wait = _next(Asked(failed))
    assert isinstance(wait, Sleep)
    assert isinstance(_next(Asked(failed), wait.until), Run)


class _World:
    """A step that acts without a key, in a world where processes die and a truthful probe can be asked or not."""

    def __init__(self, draw: st.DataObject) -> None:
        self.draw = draw
        self.row: Step | None = None
        self.asked: dict[str, Asked] = {}
        self.acts = 0
        self.now = 0

    def play(self) -> object:
        """Until the step ended or is a person's."""
        for _ in range(60):
            if self.row is None or self.row.state is StepState.PENDING:
                self._act()
            elif self.row.state is StepState.IN_DOUBT:
                said = next_inquiry(PROBE, self.row, self._known(), SCOPE, Moment("t", self.now, 0))
                match said:
                    case Sleep():
                        assert said.until > self.now
                        self.now = said.until
                    case Run():
                        self._ask(said)
                    case Happened():
                        return said
                    case NotHappened():
                        self.row = replace(self.row, state=StepState.PENDING)
                    case _:
                        return said
            else:
                return self.row
        return None

    def _act(self) -> None:
        attempt = 1 if self.row is None else self.row.attempt + 1
        how = self.draw.draw(st.sampled_from(["done", "died before", "died after"]))
        self.acts += how != "died before"
        state = StepState.DONE if how == "done" else StepState.IN_DOUBT
        self.row = Step("pay", state, attempt, "c", updated_at=self.now)

    def _known(self) -> Asked | None:
        assert self.row is not None
        return self.asked.get(probe_id(self.row))

    def _ask(self, run: Run) -> None:
        assert self.row is not None
        assert self.now >= self.row.updated_at + 30_000_000
        before = self._known()
        attempt = 1 if before is None else before.row.attempt + 1
        how = self.draw.draw(st.sampled_from(["answers", "answers", "dies", "is refused", "mumbles"]))
        row = Step(run.step.id, StepState.DONE, attempt, "p", updated_at=self.now)
        told: dict[str, object] = {"found": self.acts, "id": 1}
        if how == "dies":
            row = replace(row, state=StepState.STARTED)
        elif how == "is refused":
            row, told = replace(row, state=StepState.FAILED, code="policy_denied"), {}
        elif how == "mumbles":
            told = {"found": "perhaps"}
        self.asked[run.step.id] = Asked(row, told)


@pytest.mark.holds("probe:decides")
@given(draw=st.data())
def test_with_a_probe_that_tells_the_truth_nothing_happens_twice(draw: st.DataObject) -> None:
    world = _World(draw)
    end = world.play()
    assert world.acts <= 1, "an attempt was begun although an earlier one had happened"
    if isinstance(end, Happened | Step):
        assert world.acts == 1
    if isinstance(end, Unclear):
        assert world.row is not None
        assert world.row.state is StepState.IN_DOUBT

"""What a workflow does next, for any plan and any way its steps may end."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_guard.kit.pointer import MISSING
from mcp_guard.model.moves import STEP_MOVES, StepState
from mcp_guard.model.tool import ApproveStep, CallStep, Retry, RetryOn, WorkflowSpec
from mcp_guard.tasks import plan as plans
from mcp_guard.tasks import templates
from mcp_guard.tasks.interpreter import (
    Action,
    Ask,
    Break,
    Fail,
    Finish,
    Moment,
    Run,
    Skip,
    Sleep,
    Wait,
    again,
    delay_us,
    next_action,
)
from mcp_guard.tasks.task import Step

HOUR = 3_600_000_000
RETRY = Retry(3, frozenset({"5xx"}), 0.2, 5.0)


@st.composite
def _steps(draw: st.DrawFn) -> WorkflowSpec:
    steps: list[CallStep | ApproveStep] = []
    for number in range(draw(st.integers(1, 6))):
        name = f"s{number}"
        when = draw(st.sampled_from([None, "{input.yes}", "{input.no}", "{input.missing}"]))
        if draw(st.integers(0, 4)) == 0:
            steps.append(ApproveStep(name, ("role:a",), True, 1, 60.0, "{input.yes}", when))
            continue
        undo = CallStep(f"{name}.undo", "undo", {"id": f"{{steps.{name}.id}}"}) if draw(st.booleans()) else None
        value = draw(
            st.sampled_from(["{input.yes}", "x", "{input.missing}"]) if draw(st.integers(0, 9)) == 0 else st.just("x")
        )
        steps.append(CallStep(name, "do", {"v": value}, when, draw(st.sampled_from([Retry(), RETRY])), undo))
    return WorkflowSpec("workflow", 3600.0, tuple(steps), {"out": "{steps.s0.id}"})


class _World:
    """A journal, and a world in which calls end as drawn. Everything that was begun is remembered."""

    def __init__(self, plan: WorkflowSpec, draw: st.DataObject) -> None:
        self.plan, self.draw = plan, draw
        self.rows: dict[str, Step] = {}
        self.results: dict[str, object] = {}
        self.began: list[str] = []
        self.done: list[str] = []
        self.undone: list[str] = []
        self.now = 0
        self.cancelled = False

    def next(self) -> Action:
        scope = {"input": {"yes": 1, "no": 0}, "steps": self.results}
        return next_action(self.plan, self.rows, scope, Moment("t", self.now, HOUR, self.cancelled))

    def play(self) -> Finish | Fail:
        for _ in range(200):
            action = self.next()
            assert self.next() == action, "the same journal at the same time says the same"
            if isinstance(action, Finish | Fail):
                return action
            self._happen(action)
            if self.draw.draw(st.integers(0, 19)) == 0:
                self.cancelled = True
            if self.draw.draw(st.integers(0, 19)) == 0:
                self.now += HOUR
        raise AssertionError("it never ended")

    def _happen(self, action: Action) -> None:
        match action:
            case Run():
                self._run(action)
            case Ask():
                self._put(Step(action.step.id, StepState.WAITING))
            case Skip():
                self._put(Step(action.step, StepState.SKIPPED))
            case Break():
                self._put(Step(action.step, StepState.FAILED, code="args_invalid"))
            case Sleep():
                assert action.until > self.now
                self.now = action.until
            case Wait():
                agreed = self.draw.draw(st.booleans())
                row = self.rows[action.step]
                self._put(
                    replace(
                        row,
                        state=StepState.DONE if agreed else StepState.FAILED,
                        code=None if agreed else "approval_denied",
                    )
                )
                self.results[action.step] = {}

    def _run(self, action: Run) -> None:
        step, row = action.step, self.rows.get(action.step.id)
        self.began.append(step.id)
        attempt = (row.attempt if row else 0) + 1
        how = self.draw.draw(st.sampled_from(["done", "done", "done", "5xx", "refused", "crashed"]))
        if how == "done":
            self._put(Step(step.id, StepState.DONE, attempt, "c"))
            self.results[step.id] = {"id": step.id}
            if action.undoes is not None:
                self.undone.append(action.undoes)
                self._put(replace(self.rows[action.undoes], state=StepState.COMPENSATED))
            else:
                self.done.append(step.id)
        elif how == "crashed" and attempt < 4:
            self._put(Step(step.id, StepState.PENDING, attempt, "c"))
        elif how == "5xx" and again(step, attempt, "5xx"):
            self._put(Step(step.id, StepState.PENDING, attempt, "c", code="upstream_error", updated_at=self.now))
        else:
            self._put(Step(step.id, StepState.FAILED, attempt, "c", code="upstream_error"))

    def _put(self, step: Step) -> None:
        before = self.rows.get(step.id)
        if before is not None and before.state is not StepState.PENDING and step.state is not before.state:
            assert step.state in STEP_MOVES[before.state], (before.state, step.state)
        assert before is None or before.state not in (StepState.FAILED, StepState.SKIPPED), "it had ended"
        self.rows[step.id] = step


@pytest.mark.holds("workflow:interpreter")
@given(plan=_steps(), draw=st.data())
def test_every_journal_ends_in_order_and_nothing_done_is_begun_again(plan: WorkflowSpec, draw: st.DataObject) -> None:
    world = _World(plan, draw)
    end = world.play()
    order = [step.id for step in plan.steps]
    assert world.done == sorted(world.done, key=order.index), "forward in the order of the plan"
    assert world.undone == sorted(world.undone, key=order.index, reverse=True), "back in reverse"
    assert len(set(world.done)) == len(world.done)
    assert len(set(world.undone)) == len(world.undone)
    forwards = [step for step in plan.steps if isinstance(step, CallStep)]
    for step in forwards:
        crashes = world.rows[step.id].attempt if step.id in world.rows else 0
        assert world.began.count(step.id) == crashes
    turned = next((n for n, name in enumerate(world.began) if name.endswith(".undo")), len(world.began))
    assert all(name.endswith(".undo") for name in world.began[turned:]), "nothing forward begins once it turned"
    if isinstance(end, Finish):
        assert all(world.rows[name].state in (StepState.DONE, StepState.SKIPPED) for name in order)
        assert world.undone == []
    else:
        undoable = {step.id for step in forwards if step.undo is not None}
        assert set(end.undone) | set(end.left) == undoable & set(world.done), "what was done is undone or named"
        assert set(end.undone) == set(world.undone)


@pytest.mark.holds("workflow:interpreter")
@given(plan=_steps())
def test_what_a_condition_does_not_hold_for_is_skipped(plan: WorkflowSpec) -> None:
    for step in plan.steps:
        rows = {other.id: Step(other.id, StepState.DONE) for other in plan.steps[: plan.steps.index(step)]}
        action = next_action(plan, rows, {"input": {"yes": 1, "no": 0}, "steps": {}}, Moment("t", 0, HOUR))
        assert (action == Skip(step.id)) == (step.when in ("{input.no}", "{input.missing}"))


@pytest.mark.holds("workflow:interpreter")
@given(task=st.text(max_size=8), attempt=st.integers(1, 1000))
def test_the_wait_before_another_attempt_is_bounded_and_the_same_after_a_crash(task: str, attempt: int) -> None:
    wait = delay_us(task, "s", attempt, RETRY)
    assert 0 <= wait <= min(5.0, 0.2 * 2.0 ** min(attempt - 1, 60)) * 1_000_000
    assert wait == delay_us(task, "s", attempt, RETRY)


@pytest.mark.holds("workflow:interpreter")
def test_only_failures_the_step_names_are_tried_again() -> None:
    step = CallStep("s", "do", {}, retry=RETRY)
    kinds: list[RetryOn | None] = ["5xx", "429", "timeout", None]
    assert [again(step, 2, kind) for kind in kinds] == [True, False, False, False]
    assert not again(step, 3, "5xx")


@pytest.mark.holds("workflow:interpreter")
def test_a_step_in_doubt_holds_everything_up() -> None:
    plan = WorkflowSpec("workflow", 1.0, (CallStep("s", "do", {}), CallStep("z", "do", {})), {})
    rows = {"s": Step("s", StepState.IN_DOUBT)}
    scope: dict[str, object] = {"input": {}, "steps": {}}
    for moment in (Moment("t", 0, HOUR), Moment("t", 2 * HOUR, HOUR), Moment("t", 0, HOUR, cancelled=True)):
        assert next_action(plan, rows, scope, moment) == Wait("s")


@pytest.mark.holds("workflow:snapshot")
@given(plan=_steps())
def test_a_plan_is_read_as_it_was_written(plan: WorkflowSpec) -> None:
    assert plans.of_json(plans.as_json(plan)) == plan


SCOPE = {"input": {"n": 3, "list": [{"a": "x"}], "none": None, "text": "{input.n}"}, "steps": {}}


@pytest.mark.holds("workflow:templates")
@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{input.n}", 3),
        ("{input.none}", None),
        ("{input.list.0.a}", "x"),
        ("n is {input.n} {{x}}", "n is 3 {x}"),
        ("{input.list}!", '[{"a":"x"}]!'),
        ("{input.text}", "{input.n}"),
        ({"a": ["{input.n}", 4]}, {"a": [3, 4]}),
        ("{input.list.1}", MISSING),
        ("{input.n.x}", MISSING),
        ("{input.text.upper}", MISSING),
        ("{input.__class__}", MISSING),
    ],
)
def test_a_template_is_a_look_up_and_nothing_else(template: object, value: object) -> None:
    assert templates.fill_found(template, SCOPE) == value
    if value is MISSING:
        with pytest.raises(templates.Missing):
            templates.fill(template, SCOPE)

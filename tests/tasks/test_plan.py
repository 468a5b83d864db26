"""The plan that is kept with a task is the plan it was begun with."""

from typing import Any

import pytest

from mcp_guard.kit import strict_json
from mcp_guard.model.decision import Escalation
from mcp_guard.model.tool import ApproveStep, CallStep, Retry, WorkflowSpec
from mcp_guard.tasks import plan

ASKING = ApproveStep("review", ("role:a",), True, 2, 86_400.0, "s", "{input.x}")


@pytest.mark.holds("workflow:snapshot")
@pytest.mark.parametrize("escalate", [None, Escalation(("role:b", "user:c"), 1.5)])
def test_a_plan_is_read_as_it_was_written(escalate: Escalation | None) -> None:
    undo = CallStep("one.undo", "unmake", {"id": "{steps.one.id}"}, fingerprint="f", retry=Retry(attempts=2))
    asking = ApproveStep("review", ("role:a",), True, 2, 86_400.0, "s", "{input.x}", escalate)
    steps = (CallStep("one", "make", {"a": [1, "{input.x}"]}, "{input.y}", Retry(3, frozenset({"5xx"})), undo), asking)
    spec = WorkflowSpec("workflow", 60.0, steps, {"all": "{steps.one.id}"})
    kept = strict_json.loads(strict_json.dumps(plan.as_json(spec)))
    assert isinstance(kept, dict)
    assert plan.of_json(kept) == spec


@pytest.mark.holds("workflow:snapshot")
def test_a_plan_from_before_there_was_escalation_is_read() -> None:
    kept: Any = plan.as_json(WorkflowSpec("workflow", 60.0, (ASKING,), {}))
    del kept["steps"][0]["escalate"]
    assert plan.of_json(kept).steps == (ASKING,)

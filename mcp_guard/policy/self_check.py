"""The compiled engine is believed only where it says what the interpreter says: asked at every load."""

from random import Random
from time import perf_counter

from mcp_guard.model.problem import Problem
from mcp_guard.policy.interpreter import Interpreter
from mcp_guard.policy.probes import World
from mcp_guard.policy.snapshot import Rules, Snapshot

MOST = 100
SECONDS = 0.05
LEAST = 3


def difference(compiled: Snapshot, rules: Rules, shown_as: str) -> list[Problem]:
    """A problem `self_check` where both engines answer a generated question differently; nothing where they agree.

    At most `MOST` questions, and none begun after `SECONDS` beyond the first `LEAST`. The same policy is asked the
    same questions, in the same order.
    """
    oracle, world = Interpreter(rules), World.of(rules)
    random = Random(rules.version)  # noqa: S311 - questions have to be repeatable, not unforeseeable
    end = perf_counter() + SECONDS
    for number in range(MOST):
        if number >= LEAST and perf_counter() > end:
            break
        request = world.draw(random)
        ours, right = compiled.decide(request), oracle.decide(request)
        if ours != right:
            message = (
                f"the compiled policy decides otherwise than its rules: {ours.effect.value} by {ours.rule}, "
                f"not {right.effect.value} by {right.rule}, for {request.act} of {request.tool}"
            )
            hint = "this is a defect of mcp-guard: nothing was loaded; please report it with the policy"
            return [Problem("self_check", message, shown_as, hint=hint)]
    return []

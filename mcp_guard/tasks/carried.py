"""A step of a task on its way through the pipeline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcp_guard.model.codes import Executed
from mcp_guard.store.transaction import Work


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step's call ended: what its caller is told, and whether that is an error. `code` only where it is one."""

    structured: Mapping[str, object]
    is_error: bool
    executed: Executed
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """What was journaled stands in for what a client would send: nothing is taken from a later message.

    `arguments` are bound already; `fingerprint` is of the tool they were bound for. `key` is the idempotency key of
    every attempt. `approved` is the rule people approved it under, if any did. `begin` commits with the intent and
    raises where the step must not be begun any more; `end` commits with the outcome.
    """

    task: str
    step: str
    attempt: int
    fingerprint: str
    arguments: Mapping[str, object]
    justification: str | None
    key: str
    approved: str | None
    begin: Work
    end: Callable[[Ended], Work]

"""A step of a task on its way through the pipeline."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcp_guard.model.codes import Executed
from mcp_guard.model.decision import AskedNow
from mcp_guard.model.tool import RetryOn
from mcp_guard.store.transaction import Work
from mcp_guard.store.values import Stored

Storing = asyncio.Future[tuple[Stored, ...]]
"""What was handed to the writer: done once it is durable, failed where it is not."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step's call ended: what its caller is told, and whether that is an error. `code` only where it is one.

    `transient` is the class of `retry_on` a failure belongs to, if any; `wait` how many seconds to wait before a call
    that a rate does not let through yet. `unbegun` is a call that was made without having been begun in a commit of
    its own, because it has no effects.
    """

    structured: Mapping[str, object]
    is_error: bool
    executed: Executed
    code: str | None = None
    transient: RetryOn | None = None
    wait: int | None = None
    unbegun: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalWait:
    """Who is waited for, and when to see to it again (unix µs)."""

    approvers: tuple[str, ...]
    moves_at: int


@dataclass(frozen=True, slots=True)
class Carried:
    """What was journaled stands in for what a client would send: nothing is taken from a later message.

    `arguments` are bound already; without them those of the call were made from the journal, and are checked and bound
    like a client's. `fingerprint` is of the tool they are meant for. `key` is the idempotency key of every attempt.
    `approved` is the rule people approved it under, if any did. `begin` takes the bound arguments, and what policy
    asks of an approval now; it commits with the intent and raises where the step must not be begun any
    more. `wait` commits with the question where people have to be asked first, by `deadline` (unix µs) at the latest;
    `end` commits with the outcome. `later` takes an outcome that need not be waited for, since nobody is answered with
    it yet; without it every outcome is waited for.
    """

    task: str
    step: str
    attempt: int
    fingerprint: str
    arguments: Mapping[str, object] | None
    justification: str | None
    key: str
    approved: str | None
    deadline: int | None
    begin: Callable[[Mapping[str, object], AskedNow | None], Work]
    wait: Callable[[Mapping[str, object], ApprovalWait], Work]
    end: Callable[[Ended], Work]
    later: Callable[[Storing], None] | None = None

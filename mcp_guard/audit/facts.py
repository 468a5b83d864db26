"""What a call's records say, as the pipeline knows it."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.model.back_channel import Asked
from mcp_guard.model.call import Status
from mcp_guard.model.codes import Code, Executed
from mcp_guard.model.decision import AccessRequest, Decision, Effect
from mcp_guard.model.kept import Whole
from mcp_guard.model.principal import Principal


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Who wants what, and what policy said. Absent is what a call did not live to have.

    `fingerprint` is missing for an unknown tool; `arguments` where they were never read as JSON; `decision` where the
    call ended before policy was asked. `sensitive` are JSON pointers into arguments or result that are never kept in
    clear. `justification` is the agent's stated purpose. `asked` is the question `decision` answers; its inputs are
    kept, but for the attributes `sensitive_attributes` points into. A `dry_run` was decided and never meant to be
    carried out; one that `completes` asked for values of an argument. `would` marks what policy would not have let
    through, at a tool where it is only observed. `grant` is the id of the grant that stood in for the people policy
    wanted asked.
    """

    call: str
    principal: Principal
    tool: str
    fingerprint: str | None = None
    arguments: Mapping[str, object] | None = None
    sensitive: tuple[str, ...] = ()
    justification: str | None = None
    decision: Decision | None = None
    asked: AccessRequest | None = None
    would: Effect | None = None
    sensitive_attributes: tuple[str, ...] = ()
    trace: str | None = None
    task: str | None = None
    step: str | None = None
    attempt: int | None = None
    dry_run: bool = False
    grant: str | None = None
    completes: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended.

    `result` is one JSON value, committed to where `has_result`; `us` the duration in microseconds; `cost` in
    millionths of its unit. `limit` is the one that refused it, or would have. `redacted` is how many places of the
    result policy hid, `stripped` how many hidden characters were taken out of it. `whole` is what `result` shows only
    the beginning of; it is committed to and not kept beside the record. `asked` is what another server asked meanwhile.
    """

    status: Status
    executed: Executed
    us: int
    code: Code | None = None
    result: object = None
    has_result: bool = False
    cost: int | None = None
    limit: str | None = None
    redacted: int = 0
    stripped: int = 0
    asked: tuple[Asked, ...] = ()
    whole: Whole | None = None

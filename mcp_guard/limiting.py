"""The limits stage of one call: what it would use, reserved before the act, seen to with its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mcp_guard.audit.facts import Ending
from mcp_guard.limits.limits import Limits
from mcp_guard.limits.reached import Reached
from mcp_guard.limits.use import Call, CostUnknown, reported
from mcp_guard.model.codes import Code
from mcp_guard.model.decision import Decision, Effect
from mcp_guard.model.disclosure import Disclosure
from mcp_guard.model.errors import Refused
from mcp_guard.model.tool import Tool
from mcp_guard.store.transaction import Work
from mcp_guard.trail import Trail

_MAY_HAVE_WORKED: frozenset[Code] = frozenset({"upstream_timeout", "upstream_too_large", "upstream_bad_response"})
"""Where a tool without effects may have cost something all the same."""


@dataclass(frozen=True, slots=True)
class Limiting:
    """Takes a trail through its limits. At a tool in observe mode everything is counted and nothing is refused."""

    limits: Limits
    refusals: Disclosure

    def spent(self, trail: Trail) -> Mapping[str, int | float] | None:
        """What the caller spent, where policy asks for it."""
        names = trail.under.policy.spent
        return self.limits.spent(trail.principal, names) if names else None

    def prepare(self, trail: Trail, tool: Tool, arguments: Mapping[str, object], decision: Decision) -> None:
        """Work out what the call would use. Raises `Refused` where the arguments do not say what it costs."""
        if not (tool.limits or tool.cost or decision.then.limits or self.limits.common()):
            return
        carried, call = trail.carried, trail.call.id
        use_id = call if carried is None else f"{carried.task}/{carried.step}"
        try:
            trail.use = self.limits.use(Call(use_id, call, trail.principal, tool, arguments, decision.then.limits))
        except CostUnknown as error:
            raise Refused("args_invalid", error.message) from None

    async def look(self, trail: Trail) -> Reached | None:
        """What stands in the way now, counting nothing."""
        return None if trail.use is None else await self.limits.look(trail.use)

    async def rehearse(self, trail: Trail, tool: Tool, arguments: Mapping[str, object], decision: Decision) -> None:
        """Note for a dry run what would stand in the way. Raises `Refused` like `prepare`."""
        if decision.effect is not Effect.DENY:
            self.prepare(trail, tool, arguments, decision)
            trail.reached = await self.look(trail)
            trail.use = None

    async def observe(self, trail: Trail, tool: Tool) -> None:
        """Note, at a tool in observe mode, which limit would refuse the call."""
        if tool.observed:
            trail.reached = await self.look(trail)

    def reserving(self, trail: Trail, tool: Tool) -> Work | None:
        """Reserve, in one commit with what lets the call begin. Raises `Reached`."""
        if trail.use is None:
            return None
        trail.reserved = True  # from here on it may be, and its outcome sees to it
        return self.limits.reserving(trail.use, enforce=not tool.observed)

    def undoing(self, trail: Trail) -> Work | None:
        """What gives back what was reserved for a call that the journal ends itself, having done nothing."""
        return None if trail.use is None else self.limits.settling(trail.use, None, done=False)

    async def reserve(self, trail: Trail, tool: Tool) -> None:
        """Reserve for a call that has no intent on record, in a commit of its own. Raises `Reached`."""
        if trail.use is not None:
            trail.reserved = True
            await self.limits.reserve(trail.use, enforce=not tool.observed)

    def refused(self, trail: Trail, reached: Reached) -> Refused:
        """What the caller is told; a use that was refused holds nothing."""
        trail.reached, trail.use, trail.reserved = reached, None, False
        return reached.refusal(self.refusals)

    def hear(self, trail: Trail, tool: Tool, result: object) -> None:
        """Note what a result says the call cost, before anything of it is hidden."""
        trail.reported = None if tool.cost is None else reported(tool.cost, result)

    def settling(self, trail: Trail, ending: Ending) -> tuple[Ending, Work | None]:
        """The ending with what the call cost in the end, and what commits with it."""
        if trail.reached is not None:
            ending = replace(ending, limit=trail.reached.name)
        use, tool = trail.use, trail.entry.tool if trail.entry else None
        if use is None or tool is None or not trail.reserved:
            return ending, None
        done = _done(trail, ending, tool)
        cost = use.cost
        if cost is not None and ending.has_result and trail.reported is not None:
            cost = trail.reported
        if cost and done is not False:
            ending = replace(ending, cost=cost)
        again = trail.carried is not None and done is None
        return ending, self.limits.settling(use, cost, done=done, again=again)


def _done(trail: Trail, ending: Ending, tool: Tool) -> bool | None:
    """Whether the call did what it costs; `None` where nobody knows."""
    if ending.executed != "no":
        return True if ending.executed == "yes" else None
    unclear = trail.acted and tool.effects == "none" and ending.code in _MAY_HAVE_WORKED
    return None if unclear else False

"""Which limit a call would exceed, and what its caller is told of it: never how much others used."""

from dataclasses import dataclass

from mcp_guard.kit.clock import as_datetime
from mcp_guard.model.codes import Code, Retry
from mcp_guard.model.disclosure import Disclosure
from mcp_guard.model.errors import Refused
from mcp_guard.model.limit import Limit, shown

_CODES: dict[str, Code] = {
    "repeat": "repeat_blocked",
    "rate": "rate_limited",
    "concurrency": "rate_limited",
    "quota": "budget_exhausted",
    "budget": "budget_exhausted",
}
_WHOSE = {
    "who": " for you",
    "via": " for this agent",
    "tenant": " for your tenant",
    "tool": " for this tool in your tenant",
    "all": " for everybody together",
}
_RULE = "rule:"
NOT_TOLD = "a limit of this server is reached"


@dataclass
class Reached(Exception):
    """A limit does not let a call through now. `wait_us` is until it may; `left` and `cost` are millionths."""

    limit: Limit
    wait_us: int
    resets_at: int | None = None
    left: int = 0
    cost: int = 0

    @property
    def never_fits(self) -> bool:
        """Whether waiting changes nothing: the call costs more than there ever is."""
        return self.limit.kind == "budget" and self.cost > self.limit.most

    @property
    def wait_s(self) -> int:
        """Whole seconds until the call may be tried again."""
        return max(1, -(-self.wait_us // 1_000_000))

    @property
    def name(self) -> str:
        """The limit in records: where it stands and what it says."""
        return f"{self.limit.source} {self.limit.kind}={self.limit}"

    def refusal(self, how: Disclosure) -> Refused:
        """What its caller is told. A limit of the policy is told as much of as its decisions are."""
        by_rule = self.limit.source.startswith(_RULE)
        rule = self.limit.source.removeprefix(_RULE) if by_rule and how != "code" else None
        retry: Retry = "changed" if self.never_fits or self.limit.kind == "repeat" else "same"
        return Refused(
            _CODES[self.limit.kind],
            NOT_TOLD if by_rule and how != "why" else self.reason(),
            rule=rule,
            retry=retry,
            retry_after_s=None if self.never_fits else self.wait_s,
        )

    def reason(self) -> str:
        """One sentence for an agent."""
        limit, whose = self.limit, self._whose()
        match limit.kind:
            case "repeat":
                often = "once" if limit.most == 1 else f"{limit.most} times"
                return (
                    f"you repeat yourself: exactly this call was made {often} in {_time(int(limit.window))}; "
                    "use the result you have, or do something else"
                )
            case "rate":
                return (
                    f"the limit of {limit.most} calls a {limit.window}{whose} is reached; try again in {self.wait_s} s"
                )
            case "concurrency":
                return (
                    f"{limit.most} calls at a time are let through{whose}, and so many are running; try again shortly"
                )
            case "quota":
                return f"the quota of {limit.most} calls a {limit.window}{whose} is used up; {self._resets()}"
        what = f"the budget of {shown(limit.most)} {limit.unit} a {limit.window}{whose}"
        if self.never_fits:
            return f"this call costs {shown(self.cost)} {limit.unit}, which is more than {what}"
        left = f"has {shown(self.left)} left, and this call costs {shown(self.cost)}"
        return f"{what} {left if limit.each == 'who' else 'does not cover this call any more'}; {self._resets()}"

    def _whose(self) -> str:
        if self.limit.each == "all" and self.limit.source.startswith("tool:"):
            return " for this tool"
        return _WHOSE[self.limit.each]

    def _resets(self) -> str:
        assert self.resets_at is not None
        return f"it resets at {as_datetime(self.resets_at).isoformat(timespec='minutes').replace('+00:00', 'Z')}"


def _time(seconds: int) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {name}{'s' if count != 1 else ''}"
    return f"{seconds} seconds"

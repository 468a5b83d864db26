"""What a condition may call. Pure, total on the types they accept, and linear in the length of what a caller sends.

Every function raises `TypeError` for a value of another type, which makes the condition fail (and a failing deny row
denies). `bind` prepares the constant arguments once, at load, where a wrong one is a `ValueError` with its reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.policy.fields import Kind
from mcp_guard.policy.functions.domains import all_domains, bind_all_domains
from mcp_guard.policy.functions.hours import bind_hours, hours
from mcp_guard.policy.functions.matches import bind_matches, matches
from mcp_guard.policy.functions.within import bind_within, within


@dataclass(frozen=True, slots=True)
class Function:
    """`call` takes all arguments; `bind` takes those after the first, when all of them are constant texts.

    `takes` is the kind of the first argument; all others are texts.
    """

    call: Callable[..., bool]
    bind: Callable[..., Callable[[object], bool]]
    least: int
    most: int
    usage: str
    takes: Kind = Kind.TEXT
    constant_only: bool = False


FUNCTIONS: dict[str, Function] = {
    "within": Function(within, bind_within, 2, 2, 'within(r.ctx.args.path, "/srv/projects")'),
    "all_domains": Function(
        all_domains, bind_all_domains, 2, 33, 'all_domains(r.ctx.args.to, "example.com")', Kind.TEXTS
    ),
    "matches": Function(matches, bind_matches, 2, 2, 'matches(r.ctx.args.branch, "feature/*")'),
    "hours": Function(
        hours, bind_hours, 2, 3, 'hours(r.ctx.now, "Mon-Fri 09:00-17:00", "Europe/Berlin")', Kind.NUMBER, True
    ),
}

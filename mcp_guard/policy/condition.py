"""One `when`: checked, compiled once, evaluated over a request without copying anything.

Sees `r.ctx.args env.name now scopes seen spent subject client delegation` and may call `within all_domains matches
hours`. `r.ctx.subject.roles` is every role the subject has in the tenant, granted here or claimed by the credential,
and its own name; `r.ctx.seen` holds the labels of what was returned to the subject and its agent lately, `r.ctx.spent`
what the subject spent today and this month; `r.ctx.now` is in whole unix seconds. Over a delegation `r.ctx` stays that
of the subject.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import lru_cache

from mcp_guard.model.decision import AccessRequest
from mcp_guard.policy import syntax
from mcp_guard.policy.codegen import Writer
from mcp_guard.policy.functions import FUNCTIONS
from mcp_guard.policy.operands import NAMESPACE
from mcp_guard.policy.syntax import ConditionError

__all__ = ["Condition", "ConditionError", "compile_condition"]

Evaluate = Callable[[AccessRequest, Collection[str]], bool]

_GLOBALS = NAMESPACE | {name: function.call for name, function in FUNCTIONS.items()}


@dataclass(frozen=True, slots=True)
class Condition:
    """`holds(request, roles)` is true or false, or raises where the request lacks what the text asks for.

    `roles` are the subject's, as its closure in the tenant. What is raised is any `Exception`: a missing argument, a
    value of another kind. `constant` is set where the text is just `True` or `False`.
    """

    text: str
    holds: Evaluate = field(compare=False, repr=False)
    uses_args: bool
    uses_seen: bool = False
    spent: frozenset[str] = frozenset()
    constant: bool | None = None


def compile_condition(text: str) -> Condition:
    """Compile a condition. Raises `ConditionError` naming code, place and hint."""
    tree = syntax.parse(text)
    writer = Writer(text)
    body = writer.boolean(tree)
    syntax.check_rewriting(text)
    holds = _factory(f"lambda {', '.join(writer.bound)}: lambda q, roles: {body}")(*writer.bound.values())
    constant = {"True": True, "False": False}.get(text)
    return Condition(text, holds, writer.uses_args, writer.uses_seen, frozenset(writer.spent), constant)


@lru_cache(maxsize=4096)
def _factory(source: str) -> Callable[..., Evaluate]:
    """What makes a condition from its constants. Large policies say few things with many numbers."""
    code = compile(source, "<condition>", "eval")
    # The text is generated from an allow-list of nodes; only keys of look-ups enter it, as repr() of constant texts.
    factory: Callable[..., Evaluate] = eval(code, _GLOBALS)  # noqa: S307
    return factory

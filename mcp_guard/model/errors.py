"""The one exception tree.

    GuardError                      exit 1
    ├── UsageError                  exit 2   the command line or an API was used wrongly
    ├── Invalid                     exit 3   a config, manifest or policy file is wrong; carries Problems
    ├── Unauthenticated             exit 5   no valid identity
    ├── UnknownTool                 exit 5   not there, or not for this caller: the two look alike
    ├── OnHold                      exit 5   a legal hold forbids it
    ├── NotAnchored                 exit 5   nobody elsewhere vouches for what is to go
    ├── Refused                     by code  a call that was not, or not fully, carried out
    └── StoreUnavailable            exit 8   durable state cannot be read or written
        └── LogBroken               exit 8   the audit log contradicts itself

A class's docstring is its default message; `hint` says what to do next.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

from mcp_guard.model.codes import CODES, Code, Executed, Retry
from mcp_guard.model.problem import Problem


class GuardError(Exception):
    """Something unexpected went wrong inside mcp-guard."""

    code: str = "internal"
    exit_code: int = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.hint = hint if hint is not None else self.default_hint
        super().__init__(self.message)


class UsageError(GuardError):
    """The command was used wrongly."""

    code = "usage"
    exit_code = 2


class Invalid(GuardError):
    """A config, manifest or policy file is not valid."""

    code = "invalid"
    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Unauthenticated(GuardError):
    """A valid identity is required."""

    code = "unauthenticated"
    exit_code = 5
    default_hint = "pass --token or set MCP_GUARD_TOKEN; tokens are made by `mcp-guard token create`"


class UnknownTool(GuardError):
    """There is no such tool."""

    code = "unknown_tool"
    exit_code = 5
    default_hint = (
        "`mcp-guard tools list` shows the tools of this home; one that the caller may not list is answered like this "
        "too: `mcp-guard policy explain SUBJECT TOOL` says why"
    )


class Refused(GuardError):
    """The call was refused.

    `code` is one of `CODES`; `executed` says whether the act happened, `retry` whether trying again can help.
    `reason` is shown to the agent, so it never holds an argument value or a secret. `hint` says what to do where that
    is something else than with most refusals of its code.
    """

    def __init__(
        self,
        code: Code,
        reason: str,
        *,
        rule: str | None = None,
        effect: Literal["deny", "require_approval"] | None = None,
        executed: Executed = "no",
        retry: Retry | None = None,
        retry_after_s: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(reason)
        entry = CODES[code]
        self.code: Code = code
        self.exit_code = entry.exit_code
        self.reason = reason
        self.rule = rule
        self.effect = effect
        self.executed: Executed = executed
        self.retry: Retry = retry or entry.retry
        self.retry_after_s = retry_after_s
        self.hint = entry.advice if hint is None else hint


class OnHold(GuardError):
    """A legal hold keeps records or values as they are."""

    code = "on_hold"
    exit_code = 5
    default_hint = "`mcp-guard audit hold --list` shows what is held and why; `audit release ID` lifts a hold"


class NotAnchored(GuardError):
    """The log is not acknowledged from elsewhere, so that nothing of it may be removed."""

    code = "not_anchored"
    exit_code = 5
    default_hint = "let a witness on another machine acknowledge it, and name its key with --witness"


class StoreUnavailable(GuardError):
    """The store cannot be read or written, so nothing is executed."""

    code = "audit_unavailable"
    exit_code = 8
    default_hint = "check free space and permissions of the store; `mcp-guard audit status` shows its state"


class LogBroken(StoreUnavailable):
    """The audit log contradicts itself."""

    code = "audit_broken"
    default_hint = "`mcp-guard audit verify` names the first bad record; keep a copy of the store before anything else"

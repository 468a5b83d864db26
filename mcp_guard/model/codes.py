"""Every code a call can be refused with: what it means, whether trying again helps, and the exit status."""

from dataclasses import dataclass
from typing import Literal, get_args

Executed = Literal["no", "yes", "unknown"]
Retry = Literal["same", "changed", "never"]

Code = Literal[
    "args_invalid",
    "policy_denied",
    "approval_pending",
    "approval_denied",
    "approval_expired",
    "approval_mismatch",
    "rate_limited",
    "budget_exhausted",
    "repeat_blocked",
    "frozen",
    "egress_denied",
    "upstream_unavailable",
    "upstream_timeout",
    "upstream_too_large",
    "upstream_bad_response",
    "upstream_error",
    "output_invalid",
    "quarantined",
    "connection_required",
    "audit_unavailable",
    "outcome_unrecorded",
    "in_doubt",
    "cancelled",
    "deadline_passed",
    "internal",
]


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """`meaning` for a person, `advice` for whoever called, `retry` as the default of the refusal."""

    exit_code: int
    retry: Retry
    meaning: str
    advice: str


CODES: dict[Code, CodeEntry] = {
    "args_invalid": CodeEntry(
        3,
        "changed",
        "The arguments do not match the tool's input schema. Nothing was coerced and nothing was executed.",
        "correct the arguments named in the reason; `tools/list` has the schema",
    ),
    "policy_denied": CodeEntry(
        5,
        "never",
        "The policy does not allow this call for this principal. The rule id and its reason are in the refusal.",
        "do not try variations; ask the owner of the policy if the call should be allowed",
    ),
    "approval_pending": CodeEntry(
        6,
        "same",
        "The call needs a human decision that has not been made. Nothing was executed.",
        "wait for the decision before going on",
    ),
    "approval_denied": CodeEntry(
        5,
        "never",
        "A person decided against this call.",
        "tell the user what was decided",
    ),
    "approval_expired": CodeEntry(
        6,
        "same",
        "Nobody decided in time.",
        "ask again if the call is still wanted",
    ),
    "approval_mismatch": CodeEntry(
        5,
        "same",
        "What would run now is not what was approved: the tool, its connection or the policy changed meanwhile.",
        "ask for a new approval",
    ),
    "rate_limited": CodeEntry(
        5,
        "same",
        "More calls were made, or are running, than a limit allows.",
        "wait as long as `retry_after_s` says",
    ),
    "budget_exhausted": CodeEntry(
        5,
        "never",
        "The budget for this kind of call is used up.",
        "stop; the refusal says when the budget resets",
    ),
    "repeat_blocked": CodeEntry(
        5,
        "changed",
        "The same call was repeated too often.",
        "use the earlier result, or change the arguments",
    ),
    "frozen": CodeEntry(
        5,
        "never",
        "An operator has stopped this subject, client, tool or tenant.",
        "stop and tell the user",
    ),
    "egress_denied": CodeEntry(
        5,
        "never",
        "The tool's destination is not a public address and is not opted into by its manifest.",
        "the tool's owner can list the network under `egress.networks`",
    ),
    "upstream_unavailable": CodeEntry(
        7,
        "same",
        "The system behind the tool could not be reached.",
        "try again later",
    ),
    "upstream_timeout": CodeEntry(
        7,
        "same",
        "The system behind the tool did not answer in time. Whether it acted is in `executed`.",
        "where `executed` is `unknown`, check before repeating",
    ),
    "upstream_too_large": CodeEntry(
        7,
        "changed",
        "The answer was larger than the tool's cap.",
        "ask for less",
    ),
    "upstream_bad_response": CodeEntry(
        7,
        "same",
        "The system behind the tool answered with something that could not be understood.",
        "try again later; the tool's owner can see the details in the server's log",
    ),
    "upstream_error": CodeEntry(
        7,
        "changed",
        "The system behind the tool refused or failed.",
        "read the reason; the call may need different arguments",
    ),
    "output_invalid": CodeEntry(
        7,
        "never",
        "The tool answered, but not as its output schema promises; the answer was withheld.",
        "the tool's owner must correct the tool or its `outputSchema`",
    ),
    "quarantined": CodeEntry(
        5,
        "never",
        "The tool changed since it was reviewed and is set aside.",
        "an operator reviews it with `mcp-guard tools diff` and `tools lock`",
    ),
    "connection_required": CodeEntry(
        5,
        "same",
        "The person the call is made for has not connected their account at the upstream. Nothing was sent to it.",
        "have the person open the link in the refusal, or run `mcp-guard connections connect`; then call again",
    ),
    "audit_unavailable": CodeEntry(
        8,
        "same",
        "The audit log cannot be written, so nothing is executed.",
        "try again later; the operator sees the cause in the server's log",
    ),
    "outcome_unrecorded": CodeEntry(
        8,
        "never",
        "The act was started but its outcome could not be recorded, so its result is withheld.",
        "check what happened before repeating the call",
    ),
    "in_doubt": CodeEntry(
        6,
        "never",
        "It is not known whether an earlier attempt took effect; a person or a probe must decide.",
        "wait for the operator",
    ),
    "cancelled": CodeEntry(
        5,
        "same",
        "The call was cancelled.",
        "where `executed` is `unknown`, check before repeating",
    ),
    "deadline_passed": CodeEntry(
        7,
        "same",
        "A workflow was not done before its deadline. What it had done was taken back as far as its steps say how.",
        "read `undone` and `not_undone`, then ask again if it is still wanted",
    ),
    "internal": CodeEntry(
        1,
        "same",
        "Something unexpected went wrong inside mcp-guard.",
        "try again; the operator finds the cause in the server's log by the call id",
    ),
}

assert set(CODES) == set(get_args(Code))

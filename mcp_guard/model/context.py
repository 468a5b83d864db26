"""The inputs of a decision as they are kept beside its record, so that it can be explained and replayed.

A record names the actor and the tool, and beside it stand the arguments. What else a decision depends on is written
here: `act`, `now` (whole unix seconds, all a condition can see), `env`, where there are any `scopes`, `roles`
(claimed by the credential) and `attributes` of the subject, and where somebody looked `seen` and `spent`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar, get_args

from mcp_guard.model.decision import AccessRequest, Act
from mcp_guard.model.principal import Assurance, Auth, Principal

_T = TypeVar("_T")

_ACTS: Mapping[str, Act] = {act: act for act in get_args(Act)}
_AUTHS: Mapping[str, Auth] = {auth: auth for auth in get_args(Auth)}
_ASSURANCES: Mapping[str, Assurance] = {assurance: assurance for assurance in get_args(Assurance)}
_KEYS = frozenset({"act", "now", "env", "scopes", "roles", "attributes", "seen", "spent"})


def of_request(request: AccessRequest) -> dict[str, object]:
    """What `to_request` needs beside the actor, the tool and the arguments."""
    principal = request.principal
    found: dict[str, object] = {
        "act": request.act,
        "now": int(request.now.timestamp()),
        "env": dict(request.environment),
    }
    if principal.scopes:
        found["scopes"] = sorted(principal.scopes)
    if principal.roles:
        found["roles"] = sorted(principal.roles)
    if principal.attributes:
        found["attributes"] = dict(principal.attributes)
    if request.seen is not None:
        found["seen"] = sorted(request.seen)
    if request.spent is not None:
        found["spent"] = dict(request.spent)
    return found


def to_request(
    context: Mapping[str, object],
    actor: Mapping[str, object],
    tool: str,
    arguments: Mapping[str, object] | None,
) -> AccessRequest:
    """The question again, from what `of_request` and `Principal.as_actor` wrote.

    Raises `ValueError` for anything else, a key of a newer version included: a question without one of its inputs is
    another question.
    """
    if unknown := context.keys() - _KEYS:
        raise ValueError(f"{len(unknown)} inputs are not known to this version")
    principal = Principal(
        subject=_text(actor.get("sub")),
        client=_text(actor.get("via")),
        tenant=_text(actor.get("tenant")),
        auth=_one_of(_AUTHS, actor.get("auth")),
        assurance=_one_of(_ASSURANCES, actor.get("assurance")),
        scopes=frozenset(_texts(context.get("scopes", []))),
        roles=frozenset(_texts(context.get("roles", []))),
        attributes=_mapping(context.get("attributes", {})),
        chain=_texts(actor.get("chain", [])),
    )
    act = _one_of(_ACTS, context.get("act"))
    now, environment = _moment(context.get("now")), _mapping(context.get("env"))
    seen = frozenset(_texts(context["seen"])) if "seen" in context else None
    spent = _amounts(context["spent"]) if "spent" in context else None
    return AccessRequest(principal, act, tool, now, arguments, environment, seen, spent)


def _one_of(known: Mapping[str, _T], value: object) -> _T:
    if not isinstance(value, str) or value not in known:
        raise ValueError("a word of the guard is expected")
    return known[value]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is expected")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of texts is expected")
    return tuple(map(_text, value))


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("a mapping is expected")
    return value


def _amounts(value: object) -> Mapping[str, int | float]:
    found: dict[str, int | float] = {}
    for name, amount in _mapping(value).items():
        if type(amount) is not int and type(amount) is not float:
            raise ValueError("an amount is expected")
        found[name] = amount
    return found


def _moment(value: object) -> datetime:
    if type(value) is not int:
        raise ValueError("unix seconds are expected")
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise ValueError("unix seconds are expected") from None

"""The names a policy is written in, and what somebody probably meant by a wrong one."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import get_args

from mcp_guard.model.decision import Act, Effect

EVERY = "*"
ACTS: tuple[str, ...] = get_args(Act)
EFFECTS: tuple[str, ...] = tuple(effect.value for effect in Effect)
RESERVED = "guard:"

POLICY = "guard:policy"
"""What a confirmation of a change is decided on."""

# What can be listed, read or called beside tools. The one place that knows them.
RESOURCES = frozenset({"audit:records", "guard:whoami", "guard:permissions", "guard:usage", POLICY})

PRINCIPALS = ("user:", "service:", "agent:")
_PLAIN = "[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}"
_WHO = re.compile(f"(user|service|agent|role):{_PLAIN}")
_VIA = re.compile(f"(agent|role):{_PLAIN}")
_ROLE = re.compile(f"role:{_PLAIN}")
_APPROVER = re.compile(f"(user|role):{_PLAIN}")
_TENANT = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ROW = re.compile("[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")


def is_who(text: str) -> bool:
    """Whether a text names a person, a service, an agent (as a hop of a delegation) or a role."""
    return _WHO.fullmatch(text) is not None


def is_via(text: str) -> bool:
    """Whether a text names an agent or a role of agents."""
    return _VIA.fullmatch(text) is not None


def is_role(text: str) -> bool:
    return _ROLE.fullmatch(text) is not None


def is_approver(text: str) -> bool:
    """Whether a text names somebody who can decide: a person or a role."""
    return _APPROVER.fullmatch(text) is not None


def is_tenant(text: str) -> bool:
    return _TENANT.fullmatch(text) is not None


def is_row_id(text: str) -> bool:
    return _ROW.fullmatch(text) is not None


def is_principal(text: str) -> bool:
    """Whether a text can be somebody acting. A role cannot: that would be a membership nobody granted."""
    return text.startswith(PRINCIPALS)


def tools_named(word: str, tools: Iterable[str], tags: Mapping[str, Collection[str]]) -> list[str]:
    """Those of `tools` that a word of the `tool` column means: by name, by tag, or by prefix where it ends with `*`."""
    if word.endswith(EVERY):
        return [tool for tool in tools if tool.startswith(word[:-1])]
    return [tool for tool in tools if tool == word or word in tags.get(tool, ())]


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word somebody probably meant, or `None`. Long words are not compared."""
    if len(word) > 100:
        return None
    return next(iter(get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or nothing where no known word is close."""
    close = closest(word, known)
    return f"did you mean {close}?" if close else ""

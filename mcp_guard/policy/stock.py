"""Stock Casbin, met only here: it loads what we have checked, and what it holds must be what we read."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mcp_guard.policy.functions import FUNCTIONS
from mcp_guard.policy.model_file import MODEL

Rows = list[list[str]]


def rewritten(text: str) -> str:
    """A condition as stock Casbin evaluates it (`CoreEnforcer._get_expression` after `escape_assertion`)."""
    from casbin.util import util

    text = util.escape_assertion(text)
    return re.sub(r"!(?!=)", "not ", text.replace("&&", "and").replace("||", "or"))


def load(text: str, tags: Mapping[str, Collection[str]]) -> Any:
    """A stock enforcer of our model with the rows of `text`, the tools' tags as `g2`, and our functions.

    `text` has been checked; stock Casbin's logging is off, because it writes arguments.
    """
    import casbin
    from casbin.persist.adapters import StringAdapter

    lines = [line.strip() for line in text.split("\n")]
    lines += [f"g2, {tool}, {tag}" for tool in sorted(tags) for tag in sorted(set(tags[tool]))]
    model = casbin.Model()
    model.load_model_from_text(MODEL)
    enforcer = casbin.Enforcer(model, StringAdapter("\n".join(lines)), False)
    for name, function in FUNCTIONS.items():
        enforcer.add_function(name, function.call)
    return enforcer


def rows(enforcer: Any) -> Rows:
    """The `p` rows stock Casbin holds, in order."""
    return [list(row) for row in enforcer.get_model()["p"]["p"].policy]


def links(enforcer: Any) -> Rows:
    """The `g` rows stock Casbin holds, in order."""
    return [list(row) for row in enforcer.get_model()["g"]["g"].policy]


def tagged(enforcer: Any) -> set[tuple[str, ...]]:
    """The `g2` rows stock Casbin holds."""
    return {tuple(row) for row in enforcer.get_model()["g"]["g2"].policy}


def expected_tags(tags: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, str]]:
    return ((tool, tag) for tool, found in tags.items() for tag in found)

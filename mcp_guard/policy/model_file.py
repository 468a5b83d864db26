"""`model.conf`: the one model this server decides by.

A different model would mean different semantics, so anything but the contract's model (section 3) is refused; white
space, comments and the order of lines are free.
"""

from mcp_guard.model.problem import Problem
from mcp_guard.policy.names import did_you_mean

MODEL = """\
[request_definition]
r = who, via, tenant, act, tool, ctx
[policy_definition]
p = id, who, via, tenant, act, tool, when, eft, then, why
[role_definition]
g = _, _, _
g2 = _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = (p.tenant == "*" || r.tenant == p.tenant) && (p.who == "*" || g(r.who, p.who, r.tenant)) && \
(p.via == "*" || g(r.via, p.via, r.tenant)) && (p.act == "*" || r.act == p.act) && \
(p.tool == "*" || g2(r.tool, p.tool) || keyMatch(r.tool, p.tool)) && eval(p.when)
"""
COLUMNS = ("id", "who", "via", "tenant", "act", "tool", "when", "eft", "then", "why")

_HINT = "the model is fixed; take over the text of the contract (`mcp-guard init` writes it)"
Entry = tuple[str, str]  # section and key


def check(text: str, shown_as: str) -> list[Problem]:
    """What is different from the contract's model, each `model_unsupported` with its line."""
    found: dict[Entry, str] = {}
    problems: list[Problem] = []
    for line, entry, value in _entries(text):
        message = _difference(entry, value, found)
        if message:
            hint = did_you_mean(entry[0], {section for section, _ in _EXPECTED}) or _HINT
            problems.append(Problem("model_unsupported", message, shown_as, line, 1, hint))
        found[entry] = value
    if missing := [entry for entry in _EXPECTED if entry not in found]:
        section, key = missing[0]
        message = f"the definition of `{key}` in [{section}] is missing"
        problems.append(Problem("model_unsupported", message, shown_as, text.count("\n") + 1, 1, _HINT))
    return problems


def _difference(entry: Entry, value: str, found: dict[Entry, str]) -> str:
    section, key = entry
    if entry not in _EXPECTED:
        return f"`{key}` in [{section}] is not part of the supported model" if key else "this line is not `key = value`"
    if entry in found:
        return f"`{key}` in [{section}] is defined twice"
    if value != _EXPECTED[entry]:
        return f"the definition of `{key}` in [{section}] is not the supported one"
    return ""


def _entries(text: str) -> list[tuple[int, Entry, str]]:
    entries: list[tuple[int, Entry, str]] = []
    section = ""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[" and line[-1] == "]":
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        entries.append((number, (section, key.strip() if equals else ""), _normal(value)))
    return entries


def _normal(value: str) -> str:
    """One blank between words, and after commas."""
    return ", ".join(" ".join(part.split()) for part in value.split(","))


_EXPECTED: dict[Entry, str] = {entry: value for _, entry, value in _entries(MODEL)}

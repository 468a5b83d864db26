"""Arguments the guard fills in from the principal, so that no agent can claim them."""

from collections.abc import Iterable, Iterator, Mapping

from mcp_guard.kit import pointer
from mcp_guard.model.errors import Refused
from mcp_guard.model.principal import Principal

_ATTRIBUTE = "principal.attributes."


def bound(bind: Mapping[str, str], principal: Principal) -> dict[str, object]:
    """The bound arguments of a tool. Raises `Refused` where the principal lacks an attribute a tool needs."""
    return {name: _value(source, principal) for name, source in bind.items()}


def sensitive_attributes(bind: Mapping[str, str], sensitive: Iterable[str]) -> tuple[str, ...]:
    """Where in the inputs of a decision (`model.context`) the values stand that a sensitive bound argument is taken
    from, as JSON pointers."""
    sources = {name: source for name, source in bind.items() if source.startswith(_ATTRIBUTE)}
    if not sources:  # nearly always
        return ()
    return tuple([where for whole in sensitive for where in _attributes(sources, pointer.parse(whole))])


def _attributes(sources: Mapping[str, str], tokens: tuple[str, ...]) -> Iterator[str]:
    for name, source in sources.items():
        if tokens[:1] in ((), (name,)):
            yield pointer.join(("attributes", source.removeprefix(_ATTRIBUTE), *tokens[1:]))


def _value(source: str, principal: Principal) -> object:
    match source:
        case "principal.subject":
            return principal.subject
        case "principal.client":
            return principal.client
        case "principal.tenant":
            return principal.tenant
    name = source.removeprefix(_ATTRIBUTE)
    if name not in principal.attributes:
        raise Refused(
            "policy_denied", f"the principal has no attribute {name}, which the tool is bound to", effect="deny"
        )
    return principal.attributes[name]

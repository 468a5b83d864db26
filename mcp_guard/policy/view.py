"""A request as stock Casbin's `eval(p.when)` may see it: data by key, never a Python attribute.

Our own conditions need no view (they are compiled with the look-ups written out); stock Casbin evaluates the same text
by attribute access, and `r.ctx.args.items` must be the argument called `items`, not the method of a dict.
"""

from collections.abc import Collection, Mapping

from mcp_guard.model.decision import AccessRequest


class View:
    """A read-only mapping whose keys are its attributes. A missing key raises, so a condition asking for it fails."""

    __slots__ = ("_data",)
    _data: Mapping[str, object]

    def __init__(self, data: Mapping[str, object]) -> None:
        object.__setattr__(self, "_data", data)

    def __getattribute__(self, name: str) -> object:
        if name.startswith("_"):  # never data: neither we nor stock Casbin let a condition name one
            return object.__getattribute__(self, name)
        return self[name]

    def __getitem__(self, key: str) -> object:
        value = self._data[key]
        return View(value) if isinstance(value, Mapping) else value

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("a view is read-only")


def of_request(request: AccessRequest, roles: Collection[str]) -> View:
    """`r.ctx` of a request. `roles` are the subject's, in the request's tenant."""
    return View(fields_of(request, roles))


def fields_of(request: AccessRequest, roles: Collection[str]) -> dict[str, object]:
    """The same as plain values, for people to read."""
    principal = request.principal
    return {
        "args": request.arguments,
        "env": request.environment,
        "now": int(request.now.timestamp()),
        "scopes": sorted(principal.scopes),
        "seen": None if request.seen is None else sorted(request.seen),
        "spent": request.spent,
        "delegation": list(principal.chain),
        "client": {"id": principal.client},
        "subject": {
            "id": principal.subject,
            "tenant": principal.tenant,
            "auth": principal.auth,
            "assurance": principal.assurance,
            "roles": sorted(roles),
            "attributes": principal.attributes,
        },
    }

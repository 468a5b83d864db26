"""What a condition can see: every field below `r.ctx`, what it is, and where it comes from.

A condition is evaluated over the `AccessRequest` itself and the roles of its subject; nothing is copied per request,
and Python attributes exist only for the fields of this table.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The type of an expression as far as it is known at load."""

    BOOL = "true or false"
    NUMBER = "a number"
    TEXT = "a text"
    NONE = "None"
    TEXTS = "a list of texts"
    LIST = "a list"
    MAPPING = "a mapping"
    ANY = "a value of the call"


@dataclass(frozen=True, slots=True)
class Field:
    """`code` reads the field from the request `q` and the subject's `roles`. Only open fields have keys below them."""

    code: str
    kind: Kind
    open: bool = False


FIELDS: dict[tuple[str, ...], Field] = {
    ("args",): Field("q.arguments", Kind.MAPPING, open=True),
    ("env", "name"): Field("q.environment['name']", Kind.ANY),
    ("now",): Field("int(q.now.timestamp())", Kind.NUMBER),
    ("scopes",): Field("q.principal.scopes", Kind.TEXTS),
    ("seen",): Field("q.seen", Kind.TEXTS),
    ("spent",): Field("q.spent", Kind.MAPPING, open=True),
    ("delegation",): Field("q.principal.chain", Kind.TEXTS),
    ("subject", "id"): Field("q.principal.subject", Kind.TEXT),
    ("subject", "tenant"): Field("q.principal.tenant", Kind.TEXT),
    ("subject", "auth"): Field("q.principal.auth", Kind.TEXT),
    ("subject", "assurance"): Field("q.principal.assurance", Kind.TEXT),
    ("subject", "roles"): Field("roles", Kind.TEXTS),
    ("subject", "attributes"): Field("q.principal.attributes", Kind.MAPPING, open=True),
    ("client", "id"): Field("q.principal.client", Kind.TEXT),
}
ROOTS = tuple(dict.fromkeys(path[0] for path in FIELDS))
UNSUPPORTED = ("approval",)  # of the contract, not enforced by this version

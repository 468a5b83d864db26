"""`policy/principals.yaml`: tenant, scopes and attributes of the principals this home knows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mcp_guard.kit import pointer, yaml
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

API_VERSION = "mcp-guard/v1"
_NAME = re.compile(r"(user|service|agent):[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")  # scope-token of RFC 6749 section 3.3
_FIELDS = ("tenant", "scopes", "attributes")


@dataclass(frozen=True, slots=True)
class Profile:
    """What the home says of one principal. A principal that is not listed has no tenant, scopes or attributes."""

    tenant: str | None = None
    scopes: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


_NOBODY = Profile()


@dataclass(frozen=True, slots=True)
class Directory:
    """Profiles by principal name."""

    profiles: Mapping[str, Profile]

    def profile(self, name: str) -> Profile:
        return self.profiles.get(name, _NOBODY)


def is_principal_name(text: str) -> bool:
    """Whether a text is `user:…`, `service:…` or `agent:…` with a plain name."""
    return _NAME.fullmatch(text) is not None


def is_tenant_name(text: str) -> bool:
    """Whether a text can name a tenant."""
    return _TENANT.fullmatch(text) is not None


def is_scope(text: str) -> bool:
    """Whether a text is one scope token (RFC 6749 section 3.3)."""
    return _SCOPE.fullmatch(text) is not None


def load(path: Path | None, shown_as: str = "") -> Directory:
    """Read the directory; no file means nobody is listed. Raises `Invalid` naming every problem."""
    if path is None:
        return Directory(MappingProxyType({}))
    document = yaml.load(path, shown_as or str(path))
    problems: list[Problem] = []
    entries = _entries(document, problems)
    profiles = {name: _profile(document, name, entry, problems) for name, entry in entries.items()}
    if problems:
        raise Invalid(problems)
    return Directory(MappingProxyType(profiles))


def _entries(document: yaml.Document, problems: list[Problem]) -> Mapping[str, object]:
    root = document.value
    if not isinstance(root, dict):
        problems.append(document.problem("", "type", "expected a mapping", "start with apiVersion: mcp-guard/v1"))
        return {}
    problems += [
        document.problem(pointer.join([key]), "unknown_key", "is not known here", "apiVersion, kind, principals")
        for key in root
        if key not in ("apiVersion", "kind", "principals")
    ]
    for key, expected in (("apiVersion", API_VERSION), ("kind", "Principals")):
        if root.get(key) != expected:
            problems.append(
                document.problem(f"/{key}", "value", f"{key} must be {expected}", f"write {key}: {expected}")
            )
    principals = root.get("principals")
    if not isinstance(principals, dict):
        problems.append(document.problem("/principals", "type", "principals must be a mapping of names"))
        return {}
    return principals


def _profile(document: yaml.Document, name: str, entry: object, problems: list[Problem]) -> Profile:
    where = pointer.join(["principals", name])

    def complain(below: str, code: str, message: str, hint: str = "") -> None:
        problems.append(document.problem(where + below, code, message, hint))

    if not is_principal_name(name):
        complain("", "name", "a principal is named user:…, service:… or agent:…", "add the prefix; no spaces")
    if not isinstance(entry, dict):
        complain("", "type", "expected a mapping", f"known here: {', '.join(_FIELDS)}")
        return _NOBODY
    for key in entry:
        if key not in _FIELDS:
            complain(pointer.join([key]), "unknown_key", "is not known here", f"known here: {', '.join(_FIELDS)}")
    tenant = entry.get("tenant")
    if tenant is not None and not (isinstance(tenant, str) and is_tenant_name(tenant)):
        complain("/tenant", "value", "a tenant is a plain name", "letters, digits, dot, dash, underscore")
    scopes = entry.get("scopes", [])
    if not isinstance(scopes, list) or not all(isinstance(scope, str) and is_scope(scope) for scope in scopes):
        complain("/scopes", "value", "scopes are a list of scope names", "for example [orders:read, mail:send]")
        scopes = []
    attributes = entry.get("attributes", {})
    if not isinstance(attributes, dict):
        complain("/attributes", "type", "attributes are a mapping")
        attributes = {}
    return Profile(tenant if isinstance(tenant, str) else None, frozenset(scopes), MappingProxyType(attributes))

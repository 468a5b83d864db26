"""`policy/principals.yaml`: tenant, scopes, attributes and signing keys of the principals this home knows."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mcp_guard.kit import pointer, yaml
from mcp_guard.kit.text import visible
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.model.sshsig import SshKey, SshsigError

API_VERSION = "mcp-guard/v1"
_NAME = re.compile(r"(user|service|agent):[A-Za-z0-9][A-Za-z0-9._@+-]{0,126}")
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}")  # scope-token of RFC 6749 section 3.3
_FIELDS = ("tenant", "scopes", "attributes", "keys")
_MOST_KEYS = 16
_LONGEST_NAMED = 64
_KEY_HINT = "a line of a .pub file, such as ssh-ed25519 AAAA… comment"


@dataclass(frozen=True, slots=True)
class Profile:
    """What the home says of one principal. A principal that is not listed has no tenant, scopes, attributes or keys.

    `keys` are those whose signatures are the principal's.
    """

    tenant: str | None = None
    scopes: frozenset[str] = frozenset()
    attributes: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[SshKey, ...] = ()


_NOBODY = Profile()


@dataclass(frozen=True, slots=True)
class Directory:
    """Profiles by principal name."""

    profiles: Mapping[str, Profile]

    def profile(self, name: str) -> Profile:
        return self.profiles.get(name, _NOBODY)

    def owner(self, key: SshKey) -> str | None:
        """Whose key this is: no two principals have the same."""
        return next((name for name, profile in self.profiles.items() if key in profile.keys), None)


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
    _check_owners(document, entries, problems)
    if problems:
        raise Invalid(problems)
    return Directory(MappingProxyType(profiles))


def _entries(document: yaml.Document, problems: list[Problem]) -> Mapping[str, object]:
    root = document.value
    if not isinstance(root, dict):
        problems.append(document.problem("", "type", "expected a mapping", "start with apiVersion: mcp-guard/v1"))
        return {}
    problems += [
        document.problem(
            pointer.join([key]),
            "unknown_key",
            f"{_named(key)} is not known here",
            "known here: apiVersion, kind, principals",
        )
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


def _named(key: object) -> str:
    """A key as a message may name it: on one line, and not all of something long."""
    return visible(str(key))[:_LONGEST_NAMED]


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
            complain(
                pointer.join([key]),
                "unknown_key",
                f"{_named(key)} is not known here",
                f"known here: {', '.join(_FIELDS)}",
            )
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
    return Profile(
        tenant if isinstance(tenant, str) else None,
        frozenset(scopes),
        MappingProxyType(attributes),
        _keys(name, entry.get("keys", []), complain),
    )


def _keys(name: str, lines: object, complain: Callable[[str, str, str, str], None]) -> tuple[SshKey, ...]:
    """The public keys of a principal."""
    if not isinstance(lines, list) or len(lines) > _MOST_KEYS:
        complain("/keys", "value", f"keys are a list of at most {_MOST_KEYS} lines", _KEY_HINT)
        return ()
    if lines and name.startswith("agent:"):
        complain("/keys", "value", "an agent signs no decisions", "give the keys to the person")
    found = []
    for position, line in enumerate(lines):
        try:
            if not isinstance(line, str) or not line.isprintable():
                raise SshsigError("it is not one line of text")
            found.append(SshKey.of_line(line))
        except SshsigError as error:
            complain(pointer.join(["keys", str(position)]), "key", f"no public key: {error}", _KEY_HINT)
    return tuple(found)


def _check_owners(document: yaml.Document, entries: Mapping[str, object], problems: list[Problem]) -> None:
    """Report a key that stands in two places: what it signs could be either's."""
    owners: dict[bytes, str] = {}
    for name, entry in entries.items():
        lines = entry.get("keys") if isinstance(entry, dict) else None
        for position, line in enumerate(lines if isinstance(lines, list) else []):
            try:
                point = SshKey.of_line(str(line)).point
            except SshsigError:
                continue  # reported already
            if point in owners:
                where = pointer.join(["principals", name, "keys", str(position)])
                whose = "twice here" if owners[point] == name else f"also a key of {owners[point]}"
                problems.append(document.problem(where, "duplicate_key", f"this key is {whose}", "one key, one person"))
            owners.setdefault(point, name)

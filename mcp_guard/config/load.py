"""From a home's file, the environment and the flags to frozen settings: later ones win, and every origin is kept."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcp_guard.config.home import CONFIG_FILE, Home, find
from mcp_guard.kit import pointer, yaml
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

if TYPE_CHECKING:
    from mcp_guard.config.settings import Settings
    from mcp_guard.manifest.complaint import Complaint

Key = tuple[str, ...]
_NOTHING: Mapping[str, object] = MappingProxyType({})


def load(
    home: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NOTHING,
    cwd: Path | None = None,
) -> Home:
    """Find a home and read its settings.

    `overrides` are flags: values of the right type by dotted key (`server.http.port`).
    Raises `UsageError` where there is no home, and `Invalid` naming every problem: those of the file by line and
    column, those of the environment by variable, those of flags by key.
    """
    variables = os.environ if environ is None else environ
    directory = find(home, variables, cwd if cwd is not None else Path.cwd())
    document = yaml.load(directory / CONFIG_FILE, CONFIG_FILE)
    if not isinstance(document.value, dict):
        code, message = (
            ("empty", "the file holds nothing") if document.value is None else ("type", "expected a mapping")
        )
        raise Invalid([document.problem("", code, message, "start with apiVersion: mcp-guard/v1 and name:")])
    return _Merge(directory, document, variables, overrides).home()


def _missing(settings: "Settings") -> Iterator[tuple[Key, str, str]]:
    """Keys that only other keys make necessary: where, which, and a hint."""
    local, oidc = settings.identity.local, settings.identity.oidc
    if local.allow and local.subject is None:
        yield ("identity", "local"), "subject", "name who acts here, for example subject: user:alice"
    if oidc != type(oidc)():
        where = ("identity", "oidc")
        if oidc.issuer is None:
            yield where, "issuer", "the issuer exactly as its tokens name it"
        if oidc.audience is None:
            yield where, "audience", "the address of this server as clients know it, for example https://HOST/mcp"
    if oidc.exchange != type(oidc.exchange)():
        for name in ("token_endpoint", "client_id", "client_secret"):
            if getattr(oidc.exchange, name) is None:
                yield ("identity", "oidc", "exchange"), name, "an exchange needs all three of its keys"


class _Merge:
    """One merge of the four sources. `sources` remembers who set a key last."""

    def __init__(
        self, directory: Path, document: yaml.Document, environ: Mapping[str, str], overrides: Mapping[str, object]
    ) -> None:
        from mcp_guard.config import environment
        from mcp_guard.config.settings import Settings

        self._directory, self._document = directory, document
        self._model = Settings
        self._leaves = environment.leaves(Settings)
        assert isinstance(document.value, dict)
        self._raw: dict[str, object] = document.value
        self._sources: dict[Key, str] = {}
        found, self._problems = environment.read(environ, Settings)
        for variable in found:
            self._set(variable.key, variable.value, f"env:{variable.name}")
        for dotted, value in overrides.items():
            self._set(tuple(dotted.split(".")), value, "flag")

    def home(self) -> Home:
        from pydantic import ValidationError

        from mcp_guard.manifest.complaint import complaints

        try:
            settings = self._model.model_validate(self._raw)
        except ValidationError as error:
            found = [self._problem(complaint) for complaint in complaints(error, self._model)]
            raise Invalid([*found, *self._problems]) from None
        for where, name, hint in _missing(settings):
            self._problems.append(self._at(where, "missing_key", f"the key {name} is missing", hint))
        if settings.identity.local.approve and settings.environment != "demo":
            message, hint = "somebody nobody authenticated may decide approvals in a demo only", "let people use tokens"
            self._problems.append(self._at(("identity", "local", "approve"), "value", message, hint))
        home = Home(self._directory, settings, MappingProxyType(dict(self._origins())))
        for index, anchor in enumerate(settings.audit.anchors):
            if anchor.file is not None and home.reserved.holds(home.path(anchor.file)):
                where = ("audit", "anchors", str(index), "file")
                message, hint = "a copy would overwrite a file of the home", "name a file of its own, on another mount"
                self._problems.append(self._at(where, "reaches_home", message, hint))
        if self._problems:
            raise Invalid(self._problems)
        return home

    def _set(self, key: Key, value: object, source: str) -> None:
        """Put a value over what the file says; a section that is no mapping stays, for the model to complain about."""
        section = self._raw = dict(self._raw)
        for part in key[:-1]:
            inner = section.get(part, {})
            if not isinstance(inner, dict):
                return
            copy = dict(inner)
            section[part] = copy
            section = copy
        section[key[-1]] = value
        self._sources[key] = source

    def _problem(self, complaint: "Complaint") -> Problem:
        key = tuple(str(token) for token in complaint.location)
        return self._at(key, complaint.code, complaint.message, complaint.hint)

    def _at(self, key: Key, code: str, message: str, hint: str) -> Problem:
        """A problem at whoever set the value: a variable, a flag, or a place in the file."""
        source = next((self._sources[key[:end]] for end in range(len(key), 0, -1) if key[:end] in self._sources), None)
        if source is None:
            return self._document.problem(pointer.join(key), code, message, hint)
        name = source.removeprefix("env:") if source.startswith("env:") else f"flag {'.'.join(key)}"
        return Problem(code, message, name, hint=hint)

    def _origins(self) -> Iterator[tuple[str, str]]:
        for key in self._leaves:
            where = pointer.join(key)
            if key in self._sources:
                origin = self._sources[key]
            elif where in self._document.positions:
                origin = f"file:{self._document.positions[where][0]}"
            else:
                origin = "default"
            yield ".".join(key), origin

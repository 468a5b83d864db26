"""A home: its directory, its settings, where each came from, and the files they name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.lock import LOCK_FILE
from mcp_guard.model.errors import UsageError

if TYPE_CHECKING:
    from mcp_guard.config.settings import Settings

CONFIG_FILE = "mcp-guard.yaml"
SECRETS = "var/secrets"
LOCKS = "live"  # beside the store: who is running
_HINT = "make one with `mcp-guard init`, or name it with --home DIR or MCP_GUARD_HOME"


@dataclass(frozen=True, slots=True)
class Home:
    """`directory` is absolute. `origins` says for every dotted key `default`, `file:LINE`, `env:NAME` or `flag`."""

    directory: Path
    settings: "Settings"
    origins: Mapping[str, str]

    def path(self, text: str) -> Path:
        """The absolute path of a file that the settings name; relative ones start at the home."""
        return self.directory / text

    def line(self, key: str) -> int:
        """The line of the configuration that sets a dotted key; 0 where none does."""
        kind, _, line = self.origins.get(key, "").partition(":")
        return int(line) if kind == "file" else 0

    @property
    def store(self) -> Path:
        """The SQLite file of the store."""
        return self.path(self.settings.store.removeprefix("sqlite:"))

    @property
    def keys(self) -> Path:
        """The directory of the keys."""
        return self.path(self.settings.keys)

    @property
    def authorities(self) -> tuple[Path, ...]:
        """The files of certificates of the time-stamp authorities among the anchors."""
        return tuple(self.path(anchor.ca) for anchor in self.settings.audit.anchors if anchor.ca is not None)

    @property
    def archive(self) -> Path:
        """The directory of pruned records."""
        return self.path(self.settings.audit.archive)

    @property
    def reserved(self) -> HomeFiles:
        """What no tool may reach: configuration, manifests, policy, keys, secrets, the store and its archive."""
        policy = self.settings.policy
        named = [self.path(text) for text in (policy.model, policy.rules, policy.principals)]
        around = {file.parent for file in named} | {
            self.path(_fixed_part(pattern)) for pattern in (*self.settings.tools, *policy.tests)
        }
        return HomeFiles(
            files=frozenset({self.path(CONFIG_FILE), self.path(LOCK_FILE), *named, *self._matched()}),
            trees=frozenset(around - self._too_wide())
            | {self.keys, self.archive, self.path(SECRETS), self.store.parent / LOCKS},
            store=self.store,
        )

    def forbids(self, path: str) -> bool:
        """Whether a tool that is let at an absolute path would get at what it may not reach."""
        return self.reserved.reaches(Path(path))

    def _matched(self) -> set[Path]:
        patterns = (*self.settings.tools, *self.settings.policy.tests)
        inside = [pattern for pattern in patterns if pattern and not PurePosixPath(pattern).is_absolute()]
        return {path for pattern in inside for path in self.directory.glob(pattern) if path.is_file()}

    def _too_wide(self) -> set[Path]:
        """Directories around everything: there, files are reserved one by one."""
        return {self.directory, *self.directory.parents}


def _fixed_part(pattern: str) -> str:
    """The directory of a pattern before its first wildcard."""
    parts = PurePosixPath(pattern).parts[:-1]
    fixed = next((index for index, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    return str(PurePosixPath(*parts[:fixed]))


def find(explicit: Path | None, environ: Mapping[str, str], start: Path) -> Path:
    """The directory of a home: the given one, that of `MCP_GUARD_HOME`, or the nearest at or above `start`.

    Raises `UsageError`.
    """
    named = explicit if explicit is not None else _from(environ)
    if named is not None:
        if not named.is_dir():
            raise UsageError("the home is not a directory", hint=_HINT)
        if not (named / CONFIG_FILE).is_file():
            raise UsageError(f"the home holds no {CONFIG_FILE}", hint=_HINT)
        return named.absolute()
    for directory in (start.absolute(), *start.absolute().parents):
        if (directory / CONFIG_FILE).is_file():
            return directory
    raise UsageError(f"there is no {CONFIG_FILE} here or in a directory above", hint=_HINT)


def _from(environ: Mapping[str, str]) -> Path | None:
    text = environ.get("MCP_GUARD_HOME")
    return Path(text) if text else None

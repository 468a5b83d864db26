"""The files of example homes, parsed once in a run of tests: it is most of the time of opening a guard.

What the parser makes of a text depends on nothing else. It is kept pickled, so that nobody shares what came of it, and
in files, so that processes started by tests know it too. Short texts and what is refused are parsed each time.
"""

import os
import pickle
from hashlib import sha256
from pathlib import Path

from mcp_guard.kit import yaml

SHORTEST = 1000
"""Texts with fewer characters are parsed as fast as they would be found."""
_parse = yaml._compose


class Parsed:
    """What was parsed in this process, and in those it shares a folder with."""

    folder: Path | None = None
    """Where it is kept; nothing is where there is none."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def keep(self, folder: Path | None) -> None:
        """Keep everything from now on in a folder, and look there first; or no longer."""
        self.folder = folder
        self._known.clear()
        vars(yaml)["_compose"] = self if folder else _parse

    def __call__(self, text: str, shown_as: str, foreign: bool) -> yaml.Document:
        if self.folder is None or len(text) < SHORTEST:
            return _parse(text, shown_as, foreign)
        key = sha256(repr((text, shown_as, foreign)).encode()).hexdigest()
        if key not in self._known:
            self._known[key] = self._read(self.folder / key) or self._write(
                self.folder / key, _parse(text, shown_as, foreign)
            )
        found = pickle.loads(self._known[key])
        assert isinstance(found, yaml.Document)
        return found

    def _read(self, file: Path) -> bytes:
        return file.read_bytes() if file.exists() else b""

    def _write(self, file: Path, document: yaml.Document) -> bytes:
        data = pickle.dumps(document)
        whole = file.with_name(f"{file.name}.{os.getpid()}")
        whole.write_bytes(data)
        whole.replace(file)
        return data


parsed = Parsed()

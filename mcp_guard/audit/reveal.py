"""Opening a commitment: what stands beside a record, or what somebody shows, held against what the record says."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from mcp_guard.audit.commitment import Commitment, commitment_of, committed, matches
from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.errors import LogBroken, UsageError
from mcp_guard.store.values import Side

Lines = tuple[bytes, bytes | None]
"""The line of a record and the one behind it, where there is one."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One commitment of record `n`, with the salt and the value kept beside it, where they are.

    `leaf` (hex) is that of the record: hold it against a receipt or a proof to know that the record is genuine.
    """

    n: int
    leaf: str
    field: str
    commitment: Commitment
    salt: bytes | None
    value: bytes | None

    def opens_with(self, value: bytes, salt: bytes | None) -> bool:
        """Whether this is the value. Without a salt the stored one is used; raises `UsageError` where it is gone."""
        salt = salt or self.salt
        if salt is None:
            raise UsageError("There is no salt for this field here.", hint="pass the one that was shown: --salt HEX")
        return matches(self.commitment, salt, value)

    def as_dict(self) -> dict[str, object]:
        return {"n": self.n, "field": self.field, "leaf": self.leaf, "commitment": self.commitment}


def sealed(n: int, lines: Lines, sides: Iterable[Side], field: str) -> Sealed:
    """The commitment called `field` of a record.

    Raises `UsageError` where there is none, `LogBroken` where the record, or what stands beside it, is not what the
    log says elsewhere: nothing can be proved with it then.
    """
    line, following = lines
    leaf = leaf_hash(line)
    record = _parsed(n, line)
    if following is not None and _parsed(n + 1, following).get("_p") != leaf:
        raise LogBroken(f"record {n} is not the one that record {n + 1} follows")
    beside = {side.field: side for side in sides}
    values = {name: side.value for name, side in beside.items()}
    outer, slash, _ = field.partition("/")
    if slash and outer in committed(record):
        _check(n, outer, record.get(outer), beside.get(outer))
    commitment = commitment_of(record, values, field)
    if commitment is None:
        raise _no_such_field(record, beside, field)
    own = beside.get(field, Side(field, b"", None))
    _check(n, field, commitment, own)
    return Sealed(n, leaf, field, commitment, own.salt or None, own.value)


def _check(n: int, field: str, commitment: object, side: Side | None) -> None:
    if side is not None and side.value is not None and not matches(commitment, side.salt, side.value):
        raise LogBroken(f"the value of {field} beside record {n} is not the one it was made with")


def _no_such_field(record: Mapping[str, object], beside: Mapping[str, Side], field: str) -> UsageError:
    outer, slash, _ = field.partition("/")
    if slash and outer in committed(record) and outer not in beside:
        return UsageError(
            f"What names the parts of {outer} is not here.", hint="it was erased, or an export has it not"
        )
    known = ", ".join(sorted({*committed(record), *beside})) or "nothing"
    return UsageError("The record has no such field.", hint=f"it commits to: {known}")


def _parsed(n: int, line: bytes) -> dict[str, object]:
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict) or record.get("_n") != n:
        raise LogBroken(f"record {n} is not a record")
    return record


def from_export(path: Path, n: int) -> Lines:
    """A record of an exported file and the one behind it. Raises `UsageError` where it is not in there."""
    found: bytes | None = None
    start = re.compile(rb'\{"_n":%d[,}]' % n)
    with path.open("rb") as file:
        for line in file:
            if found is not None:
                return found, line.rstrip(b"\n")
            if start.match(line):
                found = line.rstrip(b"\n")
    if found is None:
        raise UsageError("There is no such record in the export.", hint="`_n` is the number of a record")
    return found, None

"""Records as rows of a table: the same columns, in the same order, in CSV and in Parquet."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, BinaryIO, Final

import orjson

from mcp_guard.audit.export import Take, Taken
from mcp_guard.kit.clock import as_datetime
from mcp_guard.store.scan import Numbered

Cell = str | int | None

NUMBERS: Final = ("n", "t_us", "of", "us", "cost")
"""The columns that hold whole numbers; `t_us` unix microseconds, `us` microseconds, `cost` millionths."""
COLUMNS: Final = (
    "n",
    "time",
    "t_us",
    "kind",
    "call",
    "task",
    "trace",
    "actor",
    "client",
    "tenant",
    "auth",
    "assurance",
    "tool",
    "effect",
    "rule",
    "reason",
    "policy",
    "would",
    "status",
    "code",
    "executed",
    "of",
    "us",
    "cost",
    "state",
    "boot",
    "leaf",
)
"""Further columns may follow behind the last one. `state` is JSON."""
VALUES: Final = "values"
"""The column behind them where values are asked for: JSON, by the name of the commitment."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def columns(*, values: bool) -> tuple[str, ...]:
    return (*COLUMNS, VALUES) if values else COLUMNS


def row(taken: Taken) -> dict[str, Cell]:
    """One record by column; what it does not say is `None`."""
    record = taken.record
    actor, decision = _part(record, "actor"), _part(record, "decision")
    found: dict[str, Cell] = {name: _cell(record.get(name)) for name in COLUMNS}
    found |= {
        "n": record["_n"],
        "time": as_datetime(record["_t"]).isoformat(timespec="microseconds"),
        "t_us": record["_t"],
        "actor": _cell(actor.get("sub")),
        "client": _cell(actor.get("via")),
        **{name: _cell(actor.get(name)) for name in ("tenant", "auth", "assurance")},
        **{name: _cell(decision.get(name)) for name in ("effect", "rule", "reason", "policy")},
        "leaf": taken.leaf,
    }
    return found if taken.values is None else found | {VALUES: _json(taken.values)}


class Csv:
    """RFC 4180: a header, then one record a line. Text that a spreadsheet would take for a formula has `'` in front."""

    def __init__(self, to: BinaryIO, *, values: bool) -> None:
        self._to = to
        self._columns = columns(values=values)
        self._put([self._columns])

    def write(self, records: Sequence[Numbered], take: Take) -> None:
        rows = map(row, take(records))
        self._put([[_harmless(found[name]) for name in self._columns] for found in rows])

    def finish(self) -> None:
        pass

    def _put(self, rows: Sequence[Sequence[Cell]]) -> None:
        text = StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        self._to.write(text.getvalue().encode())


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, str | int) else _json(value)


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()

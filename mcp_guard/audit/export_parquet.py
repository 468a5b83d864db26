"""Records as a Parquet file with typed columns, by way of pyarrow, which only those who want this need."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from mcp_guard.audit.export import Take
from mcp_guard.audit.export_table import NUMBERS, Cell, columns, row
from mcp_guard.model.errors import UsageError
from mcp_guard.store.scan import Numbered

if TYPE_CHECKING:
    from types import ModuleType

ROW_GROUP = 65_536
"""Rows that are written together; they are held in memory until then."""


class Parquet:
    """Raises `UsageError` where pyarrow is not installed."""

    def __init__(self, to: BinaryIO, *, values: bool) -> None:
        self._arrow, parquet = _libraries()
        self._columns = columns(values=values)
        self._schema = self._arrow.schema([(name, self._type(name)) for name in self._columns])
        self._writer = parquet.ParquetWriter(to, self._schema, compression="zstd")
        self._waiting: list[dict[str, Cell]] = []

    def write(self, records: Sequence[Numbered], take: Take) -> None:
        self._waiting += map(row, take(records))
        if len(self._waiting) >= ROW_GROUP:
            self._put()

    def finish(self) -> None:
        if self._waiting:
            self._put()
        self._writer.close()

    def _put(self) -> None:
        rows = [{**found, "time": found["t_us"]} for found in self._waiting]
        self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))
        self._waiting = []

    def _type(self, name: str) -> Any:
        if name == "time":
            return self._arrow.timestamp("us", tz="UTC")
        return self._arrow.int64() if name in NUMBERS else self._arrow.string()


def _libraries() -> "tuple[ModuleType, ModuleType]":
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.", hint="pip install 'mcp-guard[parquet]'"
        ) from None
    return arrow, parquet

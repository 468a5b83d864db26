"""Exports for an operator: the log as it is stored, or in a form for other programs."""

from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from mcp_guard.admin.operator import operator
from mcp_guard.audit.export import NO_FILTERS, Form, Lines, export
from mcp_guard.audit.journal import Journal
from mcp_guard.audit.query import Filters, Query
from mcp_guard.model.errors import UsageError
from mcp_guard.model.principal import Principal
from mcp_guard.store.scan import Scan
from mcp_guard.store.store import Store

Format = Literal["jsonl", "ocsf", "csv", "parquet"]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be exported and how; `values` are those beside the records."""

    form: Format = "jsonl"
    filters: Filters = NO_FILTERS
    values: bool = False

    @property
    def verifies(self) -> bool:
        """Whether what comes out can be verified as a log."""
        return self.form == "jsonl" and self.filters == NO_FILTERS


@dataclass(frozen=True, slots=True)
class ExportAdmin:
    """Exporting from one store. `journal` is needed only where values are asked for."""

    store: Store
    query: Query
    journal: Journal | None = None
    by: Principal = field(default_factory=operator)

    async def export(self, request: Request, to: BinaryIO) -> int:
        """Write it; how many records. Values are on record as read before the first of them is written.

        Raises `UsageError` for a filter or form that cannot be had, `StoreUnavailable`, and `OSError` where it cannot
        be written.
        """
        form = self._form(request, to)
        if request.values:
            if self.journal is None:
                raise ValueError("values are told only on record")
            filtered = int(request.filters != NO_FILTERS)
            await self.journal.read(self.by, {"what": "export", "format": request.form, "filtered": filtered})
        return await export(self.store.path, self.query, form, request.filters, values=request.values)

    def checkpoint(self) -> bytes:
        """The newest stored checkpoint. Raises `UsageError` where the log was never signed."""
        with Scan(self.store.path) as scan:
            note = scan.newest_checkpoint()
        if note is None:
            raise UsageError("The log was never signed.", hint="`mcp-guard audit checkpoint` signs it")
        return note

    def _form(self, request: Request, to: BinaryIO) -> Form:
        if request.form == "jsonl":
            return Lines(to)
        if request.form == "csv":
            from mcp_guard.audit.export_table import Csv

            return Csv(to, values=request.values)
        if request.form == "ocsf":
            from mcp_guard.audit.ocsf import Ocsf

            return Ocsf(to, origin=self.store.origin)
        from mcp_guard.audit.export_parquet import Parquet

        return Parquet(to, values=request.values)

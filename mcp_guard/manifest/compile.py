"""From one tool as written to one tool as served: every rule of contract section 2 that needs more than a type."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcp_guard.kit import units
from mcp_guard.manifest.arguments import Arguments
from mcp_guard.manifest.command import compile_command
from mcp_guard.manifest.document import Defaults, File, ToolEntry
from mcp_guard.manifest.fingerprint import fingerprint
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.manifest.http import compile_http
from mcp_guard.manifest.http_answer import check_pages
from mcp_guard.manifest.limits import compile_cost, limits_of, merged
from mcp_guard.manifest.oauth import Services, oauth_of_request, services_of
from mcp_guard.manifest.pointers import check_sensitive
from mcp_guard.manifest.probe import compile_probe
from mcp_guard.manifest.process import Place, Said
from mcp_guard.manifest.python import compile_python, with_schema
from mcp_guard.manifest.report import Report
from mcp_guard.manifest.schemas import compile_schemas
from mcp_guard.manifest.sql import compile_sql, writes
from mcp_guard.manifest.workflow import check_keys, compile_workflow, retry_of
from mcp_guard.model.limit import Limit
from mcp_guard.model.tool import (
    OBJECTS,
    ConnectorSpec,
    Effects,
    HttpSpec,
    McpSpec,
    Mode,
    PostgresSpec,
    Retry,
    SqlSpec,
    Tool,
)

CONNECTORS = ("http", "sql", "python", "command", "workflow")
RESERVED_NAMES = frozenset({"task_status", "task_cancel", "approval_list", "approval_decide"})
RESERVED_PREFIX = "guard"
MAX_TIMEOUT = 3600.0
HIGH_RISK = "risk:high"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a tool inherits from its file and its home."""

    defaults: Defaults
    toolset: str | None
    home: Path
    reserved: HomeFiles
    services: Services = field(default_factory=dict)

    @classmethod
    def of(cls, file: File, home: Path, reserved: HomeFiles, report: Report) -> "Surroundings":
        """Problems of what all tools of the file have in common go to the report."""
        return cls(file.defaults, file.toolset, home, reserved, services_of(file, report.at("services")))


def compile_tool(
    entry: ToolEntry, around: Surroundings, report: Report, mirrored: McpSpec | None = None, *, ours: bool = True
) -> Tool | None:
    """The tool, or `None` where the report now holds an error about it. What is `mirrored` is carried out by another
    server, which may know it as something else than a tool. Schemas that are not `ours` are taken as they are."""
    before = len(report.problems)
    _check_name(entry.name, report.at("name"))
    mode = entry.justification or around.defaults.justification
    described = with_schema(entry, around.home, report)
    if described is None:
        return None
    entry, built = described
    schemas = compile_schemas(entry, mode, report, ours=ours and mirrored is None)
    if schemas is None:
        return None
    arguments = Arguments.of(schemas.given, entry.bind)
    name = entry.name if mirrored is None else OBJECTS[mirrored.primitive] + entry.name
    effects: Effects = "once" if entry.workflow else entry.effects or around.defaults.effects
    timeout = _timeout(entry, around.defaults, report)
    connector = mirrored or _connector(entry, arguments, around, Said(effects, timeout, built), report)
    retry = Retry() if entry.workflow else _retry(entry, around.defaults, effects, report)
    places = [schema for schema in (schemas.given, schemas.output) if schema is not None]
    sensitive = check_sensitive(entry.sensitive, places, entry.bind, report.at("sensitive"))
    cost = compile_cost(entry.cost, arguments, report.at("cost")) if entry.cost is not None else None
    tags = _tags(entry, around)
    obeyed = _mode(entry, around, tags, report)
    probe = compile_probe(entry.probe, effects, arguments, report.at("probe")) if entry.probe else None
    if connector is not None:
        _check_effects(entry, effects, connector, report)
    if connector is None or any(problem.severity == "error" for problem in report.problems[before:]):
        return None
    tool = Tool(
        name=name,
        title=entry.title,
        description=entry.description,
        annotations=entry.annotations.model_dump(exclude_none=True),
        tags=tags,
        effects=effects,
        scopes=frozenset(entry.scopes) | frozenset(around.defaults.scopes),
        input_schema=schemas.advertised,
        arguments_schema=schemas.arguments,
        output_schema=schemas.output,
        bind=dict(sorted(entry.bind.items())),
        sensitive=sensitive,
        timeout=timeout,
        retry=retry,
        idempotency_header=entry.idempotency.header if entry.idempotency else None,
        justification=mode,
        connector=connector,
        fingerprint="",
        labels=tuple(sorted({*entry.labels, *around.defaults.labels})),
        mode=obeyed,
        long_running=entry.task is not None,
        probe=probe,
        cost=cost,
        limits=_limits(name, entry, around),
        largest_answer=units.size(entry.result.largest) if entry.result and entry.result.largest else None,
        refuses_larger=_refuses_larger(entry, mirrored),
    )
    return replace(tool, fingerprint=fingerprint(tool, around.home))


def _limits(name: str, entry: ToolEntry, around: Surroundings) -> tuple[Limit, ...]:
    asked = merged(entry.limits, around.defaults.limits, workflow=entry.workflow is not None)
    return limits_of(f"tool:{name}", asked)


def _refuses_larger(entry: ToolEntry, mirrored: McpSpec | None) -> bool:
    """Whether a result that is larger than an answer is none. Of a resource or a prompt no part is answered for it."""
    if mirrored is not None and mirrored.primitive != "tool":
        return True
    return entry.result is not None and not entry.result.keep


def _check_name(name: str, report: Report) -> None:
    if name in RESERVED_NAMES or name.lower().startswith(RESERVED_PREFIX):
        report.error(
            "reserved_name", "this name belongs to the guard itself", f"names starting with {RESERVED_PREFIX} too"
        )


def _connector(
    entry: ToolEntry, arguments: Arguments, around: Surroundings, said: Said, report: Report
) -> ConnectorSpec | None:
    given = [key for key in CONNECTORS if getattr(entry, key) is not None]
    if len(given) != 1:
        place = report.at(given[1]) if given else report
        place.error("connector", "a tool has exactly one connector", f"keep one of {', '.join(CONNECTORS)}")
        return None
    place = report.at(given[0])
    spec: ConnectorSpec | None = None
    used: frozenset[str] = frozenset()
    if entry.http is not None:
        spec, used = compile_http(entry.http, arguments, Place(around.home, around.reserved), place)
        spec = replace(spec, oauth=oauth_of_request(entry.http, around.services, place))
        _check_idempotency_header(entry, spec, report)
    elif entry.sql is not None:
        spec, used = compile_sql(entry.sql, arguments, Place(around.home, around.reserved), place)
    elif entry.python is not None:
        spec, used = compile_python(entry.python, arguments, Place(around.home, around.reserved), said, place)
    elif entry.command is not None:
        spec, used = compile_command(entry.command, arguments, Place(around.home, around.reserved), said, place)
    elif entry.workflow is not None:
        check_keys(entry, report)
        spec, used = compile_workflow(entry.workflow, arguments, place)
    if entry.idempotency is not None and entry.http is None:
        report.at("idempotency").error("idempotency", "only an http tool can send a header", "remove it")
    _report_unused(entry, arguments, used, report)
    return spec


def _check_idempotency_header(entry: ToolEntry, spec: HttpSpec, report: Report) -> None:
    header = entry.idempotency.header.lower() if entry.idempotency else None
    if header in {name.lower() for name, _ in spec.headers}:
        report.at("idempotency", "header").error("header", "this header is set by headers: too", "keep one of them")


def _report_unused(entry: ToolEntry, arguments: Arguments, used: frozenset[str], report: Report) -> None:
    for name in sorted(set(arguments.types) - used):
        place = report.at("bind", name) if name in entry.bind else report.at("inputSchema", "properties", name)
        place.warning("unused_argument", "the connector never uses this argument", "use it, or remove it")


def _retry(entry: ToolEntry, defaults: Defaults, effects: Effects, report: Report) -> Retry:
    rule = entry.retry or defaults.retry
    if rule is None:
        return Retry()
    if rule.attempts > 1 and effects == "once" and entry.idempotency is None:
        place = report.at("retry") if entry.retry else report
        place.error(
            "retry",
            "a repeated attempt could act twice",
            "say effects: none or idempotent if that is true, or send a key with idempotency: {header: …}",
        )
    return retry_of(rule)


def _timeout(entry: ToolEntry, defaults: Defaults, report: Report) -> float:
    timeout = units.seconds(entry.timeout or defaults.timeout)
    if not 0 < timeout <= MAX_TIMEOUT:
        place = report.at("timeout") if entry.timeout else report
        place.error("value", "expected a timeout above zero and of at most 1h", "for example timeout: 10s")
    return timeout


def _tags(entry: ToolEntry, around: Surroundings) -> tuple[str, ...]:
    toolset = [f"toolset:{around.toolset}"] if around.toolset else []
    return tuple(sorted({*entry.tags, *around.defaults.tags, *toolset}))


def _mode(entry: ToolEntry, around: Surroundings, tags: Collection[str], report: Report) -> Mode:
    found = entry.mode or around.defaults.mode
    if found == "observe" and HIGH_RISK in tags:
        place = report.at("mode") if entry.mode else report
        message = f"a tool tagged {HIGH_RISK} is never only observed"
        place.error("observe_high_risk", message, "say mode: enforce here, or take the tag away if it is not true")
    return found


def _check_effects(entry: ToolEntry, effects: Effects, connector: ConnectorSpec, report: Report) -> None:
    """What is said about a tool against what can be seen of it. Hints never grant; a false one misleads people."""
    place = report.at("effects") if entry.effects else report
    writing = True
    if isinstance(connector, SqlSpec):
        writing = writes(connector.statement)
        if writing and effects == "none":
            place.error("effects", "the statement changes data", "say effects: idempotent or once")
    elif isinstance(connector, PostgresSpec):
        writing = not connector.readonly  # a function that is only selected may write as well
        if writing and effects == "none":
            place.error("effects", "the statement may change data", "say effects: idempotent or once")
    elif isinstance(connector, HttpSpec):
        writing = connector.method not in ("GET", "HEAD")
        check_pages(connector, effects, report)
    if writing and effects == "once" and entry.annotations.readOnlyHint:
        report.at("annotations", "readOnlyHint").warning(
            "hint_mismatch",
            "readOnlyHint: true on a tool that acts",
            "remove the hint, or say effects: none if it is true",
        )

"""A checkup of a home, part by part, for whoever sets one up. Nothing is written and no secret is shown."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mcp_guard.identity import directory as principals
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import Clock, as_datetime
from mcp_guard.kit.platform import is_private
from mcp_guard.manifest import load as manifests
from mcp_guard.manifest.home import HomeFiles
from mcp_guard.model.decision import AccessRequest
from mcp_guard.model.errors import GuardError, Invalid, StoreUnavailable
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Primitive, PythonSpec, Tool

if TYPE_CHECKING:
    from mcp_guard.manifest.catalog import Catalog
    from mcp_guard.policy.snapshot import Snapshot
    from mcp_guard.secrets.references import Resolver

State = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `exit_code` is what a command that needs this part would end with; 0 unless it failed."""

    name: str
    state: State
    what: str
    hint: str = ""
    exit_code: int = 0

    def as_dict(self) -> dict[str, object]:
        """The `--json` shape; `hint` only where there is one."""
        shown: dict[str, object] = {"name": self.name, "state": self.state.lower(), "what": self.what}
        return shown | ({"hint": self.hint} if self.hint else {})

    def __str__(self) -> str:
        return f"{self.state:4} {self.name}: {self.what}" + (f"\n     hint: {self.hint}" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is examined: the parts of a home whose configuration could be read. Paths are absolute.

    `unmet` says what the configuration and the tools expect of each other and do not find; `webhooks` are who is told
    of approvals, each with the reference to its secret.
    """

    directory: Path
    tools: Sequence[str]
    reserved: HomeFiles
    model: Path
    rules: Path
    principals: Path
    tests: Sequence[Path]
    store: Path
    private: Sequence[Path]
    anchors: Sequence[str]
    authorities: Sequence[Path]
    environment: Mapping[str, object]
    settings: Mapping[str, object]
    resolver: "Resolver"
    local: Callable[[Directory], Principal | None]
    shown_as: Callable[[Path], str]
    clock: Clock
    unmet: "Callable[[Catalog], Sequence[Problem]]"
    webhooks: Sequence[tuple[str, str]] = ()


def failed(name: str, error: GuardError) -> Iterator[Check]:
    """One failed check per problem of an error."""
    if not isinstance(error, Invalid):
        yield Check(name, "FAIL", error.message, error.hint, error.exit_code)
        return
    for problem in error.problems:
        yield _as_check(name, problem)


def examine(subject: Subject) -> Iterator[Check]:
    """Every check that makes sense; what depends on a broken part is left out."""
    catalog, problems = manifests.lint(subject.directory, subject.tools, reserved=subject.reserved)
    yield from _linted("tools", problems, _counted(catalog) if catalog is not None else "")
    known: Directory | None = None
    try:
        known = principals.load(subject.principals, subject.shown_as(subject.principals))
        yield Check("principals", "ok", f"{len(known.profiles)} principals")
    except Invalid as error:
        if subject.principals.exists():
            yield from failed("principals", error)
        else:
            known = principals.load(None)
            hint = f"list people in {subject.shown_as(subject.principals)}"
            yield Check("principals", "warn", "there is no file, so nobody holds a scope", hint)
    if catalog is not None:
        for problem in subject.unmet(catalog):
            yield _as_check("configuration", problem)
        yield from _observed(catalog)
        yield from _policy(subject, catalog, known)
    yield from _store(subject)
    yield _private(subject)
    yield from _anchors(subject)
    yield from _webhooks(subject)
    if catalog is not None:
        tools = [entry.tool for entry in catalog.values()]
        yield _secrets(subject, tools)
        yield _functions(subject, tools)


def _anchors(subject: Subject) -> Iterator[Check]:
    """Who is asked to confirm the log. Nobody is: `audit checkpoint --anchor` does that."""
    if not subject.anchors:
        return
    try:
        if subject.authorities:
            from mcp_guard.audit.timestamp import Authorities

            Authorities.of(*subject.authorities)
        hint = "`mcp-guard audit checkpoint --anchor` asks them"
        yield Check("anchors", "ok", f"named, not asked: {', '.join(subject.anchors)}", hint)
    except Invalid as error:
        yield from failed("anchors", error)


def _webhooks(subject: Subject) -> Iterator[Check]:
    """Who is told of approvals. Nobody is told anything now: how that went is in `approvals webhooks`."""
    if not subject.webhooks:
        return
    from mcp_guard.approval.webhooks import key_of
    from mcp_guard.kit.references import parse
    from mcp_guard.secrets.references import Unresolvable

    for name, secret in subject.webhooks:
        try:
            key_of("".join(subject.resolver.resolve(part) for part in parse(secret) if not isinstance(part, str)))
        except Unresolvable:
            continue  # told where secrets are
        except ValueError as error:
            hint = "make one with: echo whsec_$(openssl rand -base64 32)"
            yield Check("webhooks", "FAIL", f"{name}: {error}", hint, Invalid.exit_code)
            return
    names = ", ".join(name for name, _ in subject.webhooks)
    yield Check("webhooks", "ok", f"named, not asked: {names}", "`mcp-guard approvals webhooks` says whether they hear")


def _as_check(name: str, problem: Problem) -> Check:
    place = f"{problem.file}:{problem.line}:{problem.column or 1}" if problem.line else problem.file
    what = f"{place}: {problem.message} [{problem.code}]"
    if problem.severity == "warning":
        return Check(name, "warn", what, problem.hint)
    return Check(name, "FAIL", what, problem.hint, Invalid.exit_code)


def _linted(name: str, problems: Iterable[Problem], good: str) -> Iterator[Check]:
    """The problems, or that there are none; a part with warnings only is good too."""
    found = [_as_check(name, problem) for problem in problems]
    if all(check.state != "FAIL" for check in found):
        yield Check(name, "ok", good)
    yield from found


def _observed(catalog: "Catalog") -> Iterator[Check]:
    if tools := catalog.observed:
        what = f"policy is recorded and NOT obeyed at {', '.join(tools)}"
        hint = "`mcp-guard audit query --would deny` shows what would be stopped; then say mode: enforce"
        yield Check("observe mode", "warn", what, hint)


def _policy(subject: Subject, catalog: "Catalog", known: Directory | None) -> Iterator[Check]:
    from mcp_guard.policy.load import lint, load

    tags = {name: entry.tool.tags for name, entry in catalog.items()}
    problems = lint(subject.model, subject.rules, tags, shown_as=subject.shown_as, units=catalog.units)
    if any(problem.severity == "error" for problem in problems):
        yield from _linted("policy", problems, "")
        return
    policy = load(subject.model, subject.rules, tags, shown_as=subject.shown_as)
    yield from _linted("policy", problems, f"{len(policy.rules.rows)} rules, version {policy.version[:12]}")
    if known is not None:
        yield from _tests(subject, policy, known)
        yield _visible(subject, catalog, policy, known)


def _tests(subject: Subject, policy: "Snapshot", known: Directory) -> Iterator[Check]:
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.policy.cases import run_cases

    def who(name: str, client: str, tenant: str) -> Principal:
        return principal_of(known, name, client, tenant)

    try:
        results = run_cases(subject.tests, policy, who, environment=subject.environment, shown_as=subject.shown_as)
    except Invalid as error:
        yield from failed("policy tests", error)
        return
    wrong = [result for result in results if not result.passed]
    if wrong:
        hint = "`mcp-guard policy test` shows the differences"
        yield Check("policy tests", "FAIL", f"{len(wrong)} of {len(results)} fail, the first is {wrong[0]}", hint, 4)
    elif results:
        yield Check("policy tests", "ok", f"{len(results)} pass")
    else:
        yield Check("policy tests", "warn", "there are none", "write some: policy.tests says where they are looked for")


def _counted(catalog: "Catalog") -> str:
    """How much there is, with what other servers offer beside tools where they do."""
    kinds: tuple[tuple[str, tuple[Primitive, ...]], ...] = (
        ("tools", ("tool",)),
        ("resources", ("resource", "template")),
        ("prompts", ("prompt",)),
    )
    counts = [(len(catalog.of(*kind)), name) for name, kind in kinds]
    return ", ".join(f"{count} {name}" for count, name in counts if count or name == "tools")


def _visible(subject: Subject, catalog: "Catalog", policy: "Snapshot", known: Directory) -> Check:
    local = subject.local(known)
    if local is None:
        return Check("local identity", "ok", "not allowed here; every caller needs a token")
    now, tools = as_datetime(subject.clock.now_us()), catalog.of("tool")
    asked = (AccessRequest(local, "list", name, now, None, subject.environment, frozenset()) for name in tools)
    visible = sum(policy.decide(request).allowed for request in asked)
    what = f"{local.subject} through {local.client} sees {visible} of {len(tools)} tools"
    if visible or not tools:
        return Check("local identity", "ok", what)
    return Check("local identity", "warn", what, f"`mcp-guard policy check {local.subject} TOOL --act list` says why")


def _store(subject: Subject) -> Iterator[Check]:
    from mcp_guard.audit.verify import verify
    from mcp_guard.store.scan import is_store

    if not subject.store.exists():
        yield Check("store", "ok", "not made yet; the first call makes it")
        return
    try:
        if not is_store(subject.store):
            raise StoreUnavailable("the file is not a database", hint="`store:` must name a database made by mcp-guard")
        report = verify(subject.store)
    except StoreUnavailable as error:
        yield from failed("store", error)
        return
    yield Check("store", "ok", f"readable, {report.records} records")
    if report.error is None:
        yield Check("audit chain", "ok", "verifies")
    else:
        hint = "keep a copy of the store before anything else; `mcp-guard audit verify` has more"
        what = f"broken at record {report.error.n}: {report.error.what}"
        yield Check("audit chain", "FAIL", what, hint, StoreUnavailable.exit_code)


def _private(subject: Subject) -> Check:
    files = [subject.store] if subject.store.is_file() else []
    for folder in subject.private:
        files += sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    open_ones = [subject.shown_as(path) for path in files if not is_private(path)]
    if not open_ones:
        return Check("private files", "ok", f"{len(files)} files that only their owner can use")
    what = f"others can read or write {', '.join(open_ones)}"
    return Check("private files", "FAIL", what, f"chmod 600 {' '.join(open_ones)}", Invalid.exit_code)


def _secrets(subject: Subject, tools: Iterable[Tool]) -> Check:
    from mcp_guard.admin.secrets import check, wanted

    secrets = wanted(tools, subject.settings)
    for found in check(secrets, subject.resolver):
        if found.problem:
            hint = "`mcp-guard secret check` shows where each is looked for"
            what = f"{found.wanted.users[0].removeprefix('tool ')}: {found.problem}"
            return Check("secrets", "FAIL", what, hint, found.exit_code)
    return Check("secrets", "ok", f"{len(secrets)} can be resolved")


def _functions(subject: Subject, tools: Iterable[Tool]) -> Check:
    from mcp_guard.connect.python import find

    names = [(tool.name, tool.connector.function) for tool in tools if isinstance(tool.connector, PythonSpec)]
    with _importing_from(subject.directory):
        for tool, name in names:
            try:
                find(name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs code of the home; anything can happen
                what = f"{tool}: {name} cannot be imported ({type(error).__name__})"
                hint = "the home is on the import path; packages it needs must be installed beside mcp-guard"
                return Check("functions", "FAIL", what, hint, 7)
    return Check("functions", "ok", f"{len(names)} can be imported")


@contextmanager
def _importing_from(home: Path) -> Iterator[None]:
    """The import path of a serving guard, for a moment; no bytecode is written, and what modules print is no data."""
    path, written = list(sys.path), sys.dont_write_bytecode
    sys.path.append(str(home))
    sys.dont_write_bytecode = True
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written

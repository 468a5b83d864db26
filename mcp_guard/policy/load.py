"""From files to a snapshot: checked by us, loaded by stock Casbin, compared, compiled, and only then believed."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from mcp_guard.kit import bounded_file
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.policy import model_file, roles, scan, self_check, snapshot, stock
from mcp_guard.policy.advice import Subject, arguments, labels, listed, people, redaction, shadow, spending
from mcp_guard.policy.advice.schema import Schema
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.model_file import COLUMNS
from mcp_guard.policy.roles import Link, Roles
from mcp_guard.policy.rows import Reader, Vocabulary
from mcp_guard.policy.scan import Line
from mcp_guard.policy.snapshot import Rules, Snapshot, Texts
from mcp_guard.policy.who import Profile

Tools = Mapping[str, Sequence[str]]


def load(model: Path, rules: Path, tools: Tools, *, shown_as: Callable[[Path], str] = str) -> Snapshot:
    """Load a policy. `tools` maps the name of every tool to its tags; `shown_as` names files in problems.

    Raises `Invalid` with every error of both files, or `self_check` where what was compiled is not what was written.
    """
    return _compiled(read(model, rules, tools, shown_as=shown_as), shown_as(rules))


def restore(texts: Texts, tools: Tools, shown_as: str) -> Snapshot:
    """The policy of texts that were kept (`Rules.texts`), for tools as they are given. Raises `Invalid`."""
    loaded, problems = _judge(texts, tools, shown_as, shown_as)
    if loaded is None:
        raise Invalid(problem for problem in problems if problem.severity == "error")
    return _compiled(loaded, shown_as)


def _compiled(loaded: Rules, shown_as: str) -> Snapshot:
    compiled = Compiled(loaded)
    if differences := self_check.difference(compiled, loaded, shown_as):
        raise Invalid(differences)
    return compiled


def read(model: Path, rules: Path, tools: Tools, *, shown_as: Callable[[Path], str] = str) -> Rules:
    """What the files say, checked but not compiled. Raises `Invalid` with every error of both files."""
    loaded, problems = _examine(model, rules, tools, shown_as)
    if loaded is None:
        raise Invalid(problem for problem in problems if problem.severity == "error")
    return loaded


def lint(
    model: Path,
    rules: Path,
    tools: Tools,
    *,
    shown_as: Callable[[Path], str] = str,
    schemas: Mapping[str, Schema] | None = None,
    principals: Mapping[str, Profile] | None = None,
    given_labels: Collection[str] | None = None,
    units: Mapping[str, str] | None = None,
    results: Mapping[str, Schema] | None = None,
    confirmers: int = 0,
) -> list[Problem]:
    """Everything `load` would refuse, and warnings, in the order of the files.

    With `schemas` (of the tools' arguments, bound ones included) the conditions are held against them, with
    `principals` the roles, attributes and approvers, with `given_labels` what they ask `r.ctx.seen` for, with `units`
    (the unit of what each tool costs) the budgets, with `results` (output schemas) what is redacted, and with schemas
    and principals the calls against the lists. `confirmers` is how many people a change of the policy waits for.
    """
    loaded, problems = _examine(model, rules, tools, shown_as)
    if loaded is None:
        return problems
    subject = _subject(loaded, rules, shown_as(rules))
    found = shadow.check(subject)
    if schemas is not None:
        found += arguments.check(subject, schemas)
    if principals is not None:
        found += people.check(subject, principals)
        found += people.check_confirmers(subject, principals, confirmers)
    if schemas is not None and principals is not None:  # a whole home: what nobody lists here nobody lists
        found += listed.check(subject)
    if given_labels is not None:
        found += labels.check(subject, given_labels)
    if units is not None:
        found += spending.check(subject, units)
    if results is not None:
        found += redaction.check(subject, results)
    return sorted([*problems, *found], key=lambda problem: (problem.file == subject.file, problem.line, problem.column))


def check_units(
    policy: Snapshot, rules: Path, units: Mapping[str, str], *, shown_as: Callable[[Path], str] = str
) -> list[Problem]:
    """What makes budgets of a loaded policy mean nothing. `units` maps every tool that has a cost to its unit."""
    if not any(row.when.spent or row.then.limits for row in policy.rules.rows):
        return []
    found = spending.check(_subject(policy.rules, rules, shown_as(rules)), units)
    return [problem for problem in found if problem.severity == "error"]


def _subject(loaded: Rules, rules: Path, shown_as: str) -> Subject:
    text, _ = _text(rules, shown_as)
    lines = (line for line in scan.scan(text, shown_as).lines if line.kind == "p")
    return Subject(
        loaded,
        shown_as,
        {line.number: dict(zip(COLUMNS, (place.column for place in line.fields[1:]), strict=True)) for line in lines},
    )


def _examine(
    model: Path, rules: Path, tools: Tools, shown_as: Callable[[Path], str]
) -> tuple[Rules | None, list[Problem]]:
    model_text, unreadable_model = _text(model, shown_as(model))
    text, unreadable = _text(rules, shown_as(rules))
    if unreadable_model or unreadable:
        model_problems = unreadable_model or model_file.check(model_text, shown_as(model))
        found = [] if unreadable else _read(text, tools, shown_as(rules))[2]
        return None, [*model_problems, *unreadable, *found]
    return _judge((model_text, text), tools, shown_as(model), shown_as(rules))


def _judge(texts: Texts, tools: Tools, model: str, rules: str) -> tuple[Rules | None, list[Problem]]:
    """The rules of two texts, and every problem; `model` and `rules` are how the texts are called."""
    model_text, text = texts
    lines, reader, found = _read(text, tools, rules)
    problems = model_file.check(model_text, model) + found
    if not _has_errors(problems):
        problems += _compare(text, lines, tools, rules)
    if _has_errors(problems):
        return None, problems
    tags = MappingProxyType({tool: frozenset(given) for tool, given in tools.items()})
    version = snapshot.version(model_text, text, tools)
    return Rules(tuple(reader.rows), Roles.of(reader.links), tags, version, texts), problems


def text_of(rules: Path, shown_as: str) -> str:
    """The text of a rules file. Raises `Invalid` where there is none."""
    text, problems = _text(rules, shown_as)
    if problems:
        raise Invalid(problems)
    return text


def _text(path: Path, shown_as: str) -> tuple[str, list[Problem]]:
    try:
        data = bounded_file.read_bytes(path, scan.MAX_BYTES)
    except OSError as error:
        message, hint = f"cannot be read: {error.strerror}", "check the path and its permissions"
        return "", [Problem("unreadable", message, shown_as, hint=hint)]
    return scan.decode(data, shown_as)


def _read(text: str, tools: Tools, shown_as: str) -> tuple[tuple[Line, ...], Reader, list[Problem]]:
    """Split and check the rows; problems in the order of the file."""
    scanned = scan.scan(text, shown_as)
    reader = Reader(shown_as, Vocabulary.of(tools))
    reader.read(scanned.lines)
    problems = [
        *scanned.problems,
        *reader.problems,
        *roles.check(reader.links, shown_as),
        *_repeated(reader.links, shown_as),
    ]
    if not problems and not any(line.kind == "p" for line in scanned.lines):
        hint = "without rules nothing is allowed; was the file cut off?"
        problems.append(Problem("empty", "holds no rules", shown_as, 1, 1, hint))
    if text and not text.endswith("\n"):
        message, hint = "the last line does not end with a line break", "was the file cut off?"
        problems.append(Problem("no_final_newline", message, shown_as, text.count("\n") + 1, 1, hint, "warning"))
    return scanned.lines, reader, sorted(problems, key=lambda problem: (problem.line, problem.column))


def _repeated(links: list[Link], shown_as: str) -> list[Problem]:
    seen: set[tuple[str, str, str]] = set()
    problems: list[Problem] = []
    for link in links:
        if link[:3] in seen:
            message = "this role link stands here already"
            problems.append(Problem("duplicate_link", message, shown_as, link.line, 1, "delete the row", "warning"))
        seen.add(link[:3])
    return problems


def _compare(text: str, lines: Sequence[Line], tools: Tools, shown_as: str) -> list[Problem]:
    """Stock Casbin must hold exactly what we read: the same rows and links in the same order, and the tools' tags."""
    try:
        enforcer = stock.load(text, tools)
    except Exception:  # noqa: BLE001 - whatever stock Casbin raises, it could not load what we take for a policy
        return [_differs("stock Casbin cannot load this file", shown_as)]
    for kind, theirs in (("p", stock.rows(enforcer)), ("g", stock.links(enforcer))):
        ours = [line for line in lines if line.kind == kind]
        if [line.values for line in ours] != theirs:
            different = (line.number for line, row in zip(ours, theirs, strict=False) if line.values != row)
            return [_differs("stock Casbin reads this row differently", shown_as, next(different, 1))]
    if stock.tagged(enforcer) != set(stock.expected_tags(tools)):
        return [_differs("stock Casbin reads the tools' tags differently", shown_as)]
    return []


def _differs(message: str, shown_as: str, line: int = 0) -> Problem:
    return Problem("casbin_differs", message, shown_as, line, min(line, 1), "write the row more plainly")


def _has_errors(problems: Sequence[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)

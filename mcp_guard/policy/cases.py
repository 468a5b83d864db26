"""Running policy tests (`case_file.py`) against a snapshot."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from mcp_guard.kit import yaml
from mcp_guard.model.decision import AccessRequest, Decision
from mcp_guard.model.errors import Invalid
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.policy import names
from mcp_guard.policy.case_file import Case, as_recorded, read_cases
from mcp_guard.policy.snapshot import Snapshot

PrincipalOf = Callable[[str, str, str], Principal]

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one test ended. `differences` is empty where it passed."""

    case: Case
    asked: AccessRequest
    decision: Decision
    differences: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.differences

    def as_dict(self) -> dict[str, object]:
        """The `--json` shape."""
        return {
            "name": self.case.name,
            "file": self.case.file,
            "line": self.case.line,
            "passed": self.passed,
            "want": dict(self.case.want),
            "got": {key: value for key, value in self.decision.as_record().items() if key != "policy"},
            "differences": list(self.differences),
        }

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed: " + "; ".join(self.differences)
        return f"{self.case.file}:{self.case.line}: {self.case.name}: {verdict}"


def run_cases(
    paths: Sequence[Path],
    snapshot: Snapshot,
    principal_of: PrincipalOf,
    *,
    environment: Mapping[str, object] = _NOTHING,
    shown_as: Callable[[Path], str] = str,
) -> list[CaseResult]:
    """Ask the snapshot every question of the files, in order.

    `principal_of(subject, client, tenant)` says who that is. Raises `Invalid` where a file is not a list of tests, or a
    test is about a tool there is not: it would show nothing.
    """
    cases = [case for path in paths for case in read_cases(yaml.load(path, shown_as(path)))]
    known = names.RESOURCES.union(snapshot.rules.tags)
    if problems := [_unknown_tool(case, known) for case in cases if case.tool not in known]:
        raise Invalid(problems)
    return [_run(case, snapshot, principal_of, environment) for case in cases]


def question(case: Case, principal_of: PrincipalOf, environment: Mapping[str, object] = _NOTHING) -> AccessRequest:
    """The request a test is about."""
    principal = principal_of(case.subject, case.client, case.tenant)
    arguments = None if case.act == "list" else case.arguments
    return AccessRequest(principal, case.act, case.tool, case.now, arguments, environment, case.seen, case.spent)


def _unknown_tool(case: Case, known: Iterable[str]) -> Problem:
    hint = names.did_you_mean(case.tool, sorted(known)) or "`mcp-guard tools list` shows the tools of this home"
    return Problem("tool_unknown", "the test is about a tool there is not", case.file, case.line, 1, hint)


def _run(case: Case, snapshot: Snapshot, principal_of: PrincipalOf, environment: Mapping[str, object]) -> CaseResult:
    spent = {**dict.fromkeys(snapshot.spent, 0), **case.spent}
    asked = replace(question(case, principal_of, environment), spent=spent if case.act == "call" else None)
    decision = snapshot.decide(asked)
    return CaseResult(case, asked, decision, tuple(_differences(case.want, decision)))


def _differences(want: Mapping[str, object], decision: Decision) -> list[str]:
    found: list[str] = []
    for key, got in (("effect", decision.effect.value), ("rule", decision.rule)):
        if key in want and want[key] != got:
            found.append(f"{key} is {got}, wanted {want[key]}")
    then = decision.then.as_dict()
    wanted = want.get("then", _NOTHING)
    assert isinstance(wanted, Mapping)
    return found + [
        f"then.{key} is {then.get(key, 'not there')}, wanted {value}"
        for key, value in wanted.items()
        if then.get(key) != as_recorded(key, value)
    ]

"""Questions an operator asks of a home without opening its store."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_guard.build.definition import Definition, define, load_directory, policy_files, shown, tags, test_files, unmet
from mcp_guard.config.home import SECRETS, Home
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import SystemClock
from mcp_guard.model.errors import Invalid
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Tool
from mcp_guard.policy.snapshot import Snapshot

if TYPE_CHECKING:
    from mcp_guard.admin.checkup import Subject
    from mcp_guard.admin.replay import Replayed
    from mcp_guard.admin.secrets import Found
    from mcp_guard.model.decision import AccessRequest
    from mcp_guard.policy.cases import CaseResult
    from mcp_guard.policy.coverage import Coverage
    from mcp_guard.policy.diff import Diff
    from mcp_guard.policy.explanation import Explanation
    from mcp_guard.policy.second_opinion import Opinion


def lint_policy(home: Home) -> list[Problem]:
    """Every problem of the policy files, warnings included, held against the tools' arguments and the known people."""
    from mcp_guard.manifest.load import load as load_tools
    from mcp_guard.policy.load import lint

    catalog = load_tools(home.directory, home.settings.tools, reserved=home.reserved)
    return lint(
        *policy_files(home),
        tags(catalog),
        shown_as=shown(home),
        schemas={name: _decided_schema(entry.tool) for name, entry in catalog.items()},
        principals=load_directory(home).profiles,
        given_labels={label for entry in catalog.values() for label in entry.tool.labels},
        units=catalog.units,
        results={name: schema for name, entry in catalog.items() if (schema := entry.tool.output_schema) is not None},
        confirmers=_confirmers(home),
    )


def lint_tools(home: Home) -> list[Problem]:
    """Every problem of the manifests, and what should not stand there although it loads."""
    from mcp_guard.manifest.load import lint

    def bounded(tools: Mapping[str, Sequence[str]]) -> Collection[str]:
        return tools if home.settings.limits.all() else _held(home, tools)

    _, problems = lint(home.directory, home.settings.tools, reserved=home.reserved, bounded=bounded)
    return problems


def _held(home: Home, tools: Mapping[str, Sequence[str]]) -> Collection[str]:
    """The tools that rules limit, or let people decide about. A policy that does not load holds nothing."""
    from mcp_guard.model.decision import Effect
    from mcp_guard.policy.load import read
    from mcp_guard.policy.names import tools_named

    try:
        rules = read(*policy_files(home), tools, shown_as=shown(home))
    except Invalid:
        return ()
    holding = [row for row in rules.rows if row.then.limits or row.effect is Effect.REQUIRE_APPROVAL]
    return {tool for row in holding for tool in tools_named(row.tool, tools, rules.tags)}


def _confirmers(home: Home) -> int:
    """How many people a looser policy waits for."""
    if home.settings.policy.change_control == "off":
        return 0
    from mcp_guard.admin.change_control import ENOUGH

    return ENOUGH


def _decided_schema(tool: Tool) -> Mapping[str, object]:
    """The schema of what a condition sees: the client's arguments and those the guard binds."""
    schema = tool.arguments_schema
    properties = schema.get("properties", {})
    assert isinstance(properties, Mapping)
    return {**schema, "properties": {**properties, **{name: {"type": "string"} for name in tool.bind}}}


def run_policy_cases(definition: Definition, files: Sequence[Path]) -> "list[CaseResult]":
    """Run policy tests: those of `files`, or all of the home's. Raises `Invalid` where a file is not one."""
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.policy.cases import run_cases

    home = definition.home
    found = list(files) or test_files(home)

    def who(subject: str, client: str, tenant: str) -> Principal:
        return principal_of(definition.directory, subject, client, tenant)

    return run_cases(found, definition.policy, who, environment=definition.environment, shown_as=shown(home))


def cover_policy(definition: Definition, results: "Sequence[CaseResult]") -> "Coverage":
    """What policy tests that were run cover of the policy."""
    from mcp_guard.policy.coverage import coverage

    return coverage(definition.policy, [result.asked for result in results])


def define_tested(home: Home) -> Definition:
    """`define` a home whose policy passes its own tests: what is served, and what a reload puts in force.

    Raises `Invalid`.
    """
    definition = define(home)
    hint = "`mcp-guard policy test` shows the differences; correct the policy or the test"
    results = run_policy_cases(definition, ())
    if failing := [result for result in results if not result.passed]:
        raise Invalid(
            Problem("policy_test", f"{it.case.name}: {'; '.join(it.differences)}", it.case.file, it.case.line, 1, hint)
            for it in failing
        )
    return definition


def subject_of_checkup(home: Home) -> "Subject":
    """What `mcp-guard doctor` examines of a home; nothing is read yet."""
    from mcp_guard.admin.checkup import Subject
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.secrets.redact import Redactor

    local = home.settings.identity.local

    def declared(known: Directory) -> Principal | None:
        if not local.allow or local.subject is None:
            return None
        return principal_of(known, local.subject, local.client, known.profile(local.subject).tenant or local.tenant)

    model, rules = policy_files(home)
    return Subject(
        directory=home.directory,
        tools=home.settings.tools,
        reserved=home.reserved,
        model=model,
        rules=rules,
        principals=home.path(home.settings.policy.principals),
        tests=test_files(home),
        store=home.store,
        private=(home.keys, home.path(SECRETS)),
        anchors=[f"{anchor.kind} {anchor.called}" for anchor in home.settings.audit.anchors],
        authorities=home.authorities,
        environment={"name": home.settings.environment},
        settings=home.settings.model_dump(by_alias=True),
        resolver=resolver_of(home, Redactor()),
        local=declared,
        shown_as=shown(home),
        clock=SystemClock(),
        unmet=partial(unmet, home),
        webhooks=[(hook.called, hook.secret) for hook in home.settings.approvals.webhooks],
    )


def check_secrets(home: Home) -> "Iterator[Found]":
    """Every secret the tools and the settings of a home refer to, and whether it can be had. Raises `Invalid`."""
    from mcp_guard.admin.secrets import check, wanted
    from mcp_guard.config.secrets import resolver_of
    from mcp_guard.secrets.redact import Redactor

    tools = [entry.tool for entry in define(home).catalog.values()]
    return check(wanted(tools, home.settings.model_dump(by_alias=True)), resolver_of(home, Redactor()))


def questions_of_cases(definition: Definition) -> "list[AccessRequest]":
    """The requests the home's policy tests are about."""
    from mcp_guard.admin.what_if import principal_of
    from mcp_guard.kit import yaml
    from mcp_guard.policy.case_file import read_cases
    from mcp_guard.policy.cases import question

    home = definition.home

    def who(subject: str, client: str, tenant: str) -> Principal:
        return principal_of(definition.directory, subject, client, tenant)

    cases = [case for path in test_files(home) for case in read_cases(yaml.load(path, shown(home)(path)))]
    return [question(case, who, definition.environment) for case in cases]


def diff_policies(definition: Definition, old: Path, new: Path) -> "Diff":
    """What changes between two rules files under this home's tools, asked its policy tests first."""
    from mcp_guard.policy.diff import diff

    return diff(load_rules(definition, old), load_rules(definition, new), questions_of_cases(definition))


def load_rules(definition: Definition, rules: Path) -> Snapshot:
    """Another rules file as a policy for this home's tools. Raises `Invalid`."""
    from mcp_guard.policy.load import load

    model, _ = policy_files(definition.home)
    return load(model, rules, tags(definition.catalog), shown_as=shown(definition.home))


def replay_policy(
    definition: Definition, rules: Path | None, principals: Path | None, since: int, until: int | None
) -> "Replayed":
    """Ask a policy about the decisions on record from `since` on and before `until` (unix µs).

    Without `rules` it is the policy in force, without `principals` everybody is who they were. Raises `Invalid`, and
    `StoreUnavailable`.
    """
    from mcp_guard.admin.replay import People, Replayer, replay
    from mcp_guard.audit.asked import decisions
    from mcp_guard.identity import directory

    people = None
    if principals is not None:
        people = People(definition.directory, directory.load(principals, shown(definition.home)(principals)))
    policy = definition.policy if rules is None else load_rules(definition, rules)
    return replay(Replayer(policy, definition.catalog, people), decisions(definition.home.store, since, until))


def ask_stock(definition: Definition, explanation: "Explanation") -> "Opinion":
    """What stock Casbin makes of an explained question under this home's rules."""
    from mcp_guard.policy.load import text_of
    from mcp_guard.policy.second_opinion import ask

    _, rules = policy_files(definition.home)
    return ask(text_of(rules, shown(definition.home)(rules)), definition.policy.rules, explanation)

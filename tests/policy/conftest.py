"""A small world to write policies in: five tools with tags, one tenant, people and agents."""

import operator
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mcp_guard.model.decision import AccessRequest, Act
from mcp_guard.model.errors import Invalid
from mcp_guard.model.principal import Principal
from mcp_guard.model.problem import Problem
from mcp_guard.policy.advice.schema import Schema
from mcp_guard.policy.load import lint, load, read
from mcp_guard.policy.model_file import MODEL
from mcp_guard.policy.snapshot import Rules, Snapshot
from mcp_guard.policy.who import Profile

TOOLS: Mapping[str, Sequence[str]] = {
    "orders_get": ("risk:low", "toolset:orders"),
    "orders_search": ("risk:low", "toolset:orders"),
    "payments_refund": ("risk:high", "toolset:payments"),
    "mail_send": ("risk:medium", "toolset:mail"),
    "customers_delete": ("risk:high", "toolset:customers"),
}
HOME_TOOLS: Mapping[str, Sequence[str]] = {
    **TOOLS,
    "customers_onboard": ("risk:medium", "toolset:onboarding"),
    "accounts_activate": ("risk:medium", "toolset:onboarding"),
}
"""What the rules of the example home speak of."""
MONDAY_NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def row(
    *,
    id: str = "r",  # noqa: A002 - the column's own name
    who: str = "*",
    via: str = "*",
    tenant: str = "*",
    act: str = "call",
    tool: str = "*",
    when: str = "True",
    eft: str = "allow",
    then: str = "-",
    why: str = "because",
) -> str:
    """One `p` row."""
    return "p, " + ", ".join((id, who, via, tenant, act, tool, when, eft, then, why))


def principal(
    subject: str = "user:alice", client: str = "agent:local", tenant: str = "acme", **more: object
) -> Principal:
    return Principal(subject, client, tenant, "local", "declared", **more)  # type: ignore[arg-type]  # test convenience


def request(
    tool: str = "payments_refund",
    arguments: Mapping[str, object] | None = None,
    *,
    act: Act = "call",
    who: Principal | None = None,
    now: datetime = MONDAY_NOON,
    seen: frozenset[str] | None = None,
) -> AccessRequest:
    return AccessRequest(who or principal(), act, tool, now, arguments, {"name": "demo"}, seen)


class Files:
    """A model and a rules file that can be rewritten."""

    def __init__(self, folder: Path) -> None:
        self.model = folder / "model.conf"
        self.rules = folder / "policy.csv"
        self.model.write_text(MODEL, encoding="utf-8")

    def load(self, *rows: str, tools: Mapping[str, Sequence[str]] = TOOLS) -> Snapshot:
        self.rules.write_text("".join(f"{line}\n" for line in rows), encoding="utf-8", newline="")
        return load(self.model, self.rules, tools, shown_as=lambda path: path.name)

    def read(self, text: str, tools: Mapping[str, Sequence[str]] = TOOLS) -> Rules:
        """The checked rules of a text, for engines made by hand."""
        self.rules.write_text(text, encoding="utf-8", newline="")
        return read(self.model, self.rules, tools)

    def refuse(self, content: str | bytes) -> list[Problem]:
        """The errors of a rules file, which `load` and `lint` have to agree on."""
        self.rules.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(Invalid) as caught:
            load(self.model, self.rules, TOOLS, shown_as=lambda path: path.name)
        found = lint(self.model, self.rules, TOOLS, shown_as=lambda path: path.name)
        assert list(caught.value.problems) == [problem for problem in found if problem.severity == "error"]
        return list(caught.value.problems)

    def lint(
        self,
        content: str,
        *,
        schemas: Mapping[str, Schema] | None = None,
        principals: Mapping[str, Profile] | None = None,
        given_labels: Collection[str] | None = None,
        results: Mapping[str, Schema] | None = None,
        confirmers: int = 0,
    ) -> list[Problem]:
        self.rules.write_text(content, encoding="utf-8", newline="")
        shown_as = operator.attrgetter("name")
        return lint(
            self.model,
            self.rules,
            TOOLS,
            shown_as=shown_as,
            schemas=schemas,
            principals=principals,
            given_labels=given_labels,
            results=results,
            confirmers=confirmers,
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def module_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """For property tests, which run many examples in one test."""
    return Files(tmp_path_factory.mktemp("policy"))

"""What a home declares, read and checked as a whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mcp_guard.config.home import CONFIG_FILE, Home
from mcp_guard.identity.directory import Directory
from mcp_guard.kit.clock import SystemClock
from mcp_guard.manifest.catalog import Catalog
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.policy.snapshot import Snapshot

if TYPE_CHECKING:
    from mcp_guard.admin.what_if import WhatIf


@dataclass(frozen=True, slots=True)
class Definition:
    """What a home says, read and checked as a whole. Nothing is opened or written to get one."""

    home: Home
    catalog: Catalog
    policy: Snapshot
    directory: Directory

    @property
    def environment(self) -> Mapping[str, object]:
        """`r.ctx.env` of every decision."""
        return {"name": self.home.settings.environment}

    def says_the_same(self, other: "Definition") -> bool:
        """Whether tools, policy, people and settings of both are the same; how their files are written makes no
        difference."""
        return (
            self.policy.version == other.policy.version
            and self.directory == other.directory
            and self.home.settings == other.home.settings
            and {name: entry.tool for name, entry in self.catalog.items()}
            == {name: entry.tool for name, entry in other.catalog.items()}
        )

    def what_if(
        self, seen: frozenset[str] = frozenset(), spent: Mapping[str, int | float] = MappingProxyType({})
    ) -> "WhatIf":
        """Questions to this definition's policy, by somebody who was shown data of these labels, and who spent so much
        (by `UNIT_today` and `UNIT_month`)."""
        from mcp_guard.admin.what_if import WhatIf

        return WhatIf(self.catalog, self.policy, self.environment, SystemClock(), seen, spent)


def observing(tools: Sequence[str]) -> str:
    """What everybody who looks has to be told while policy is not obeyed somewhere."""
    return f"OBSERVE MODE: policy is recorded and NOT obeyed at {', '.join(tools)}"


def define(home: Home) -> Definition:
    """Load and check everything a home declares.

    Raises `Invalid` naming every problem of tools and principals, and then every one of the policy: what its rules are
    about is known only once the tools are.
    """
    from mcp_guard.manifest.load import lint as lint_tools
    from mcp_guard.policy.load import check_units
    from mcp_guard.policy.load import load as load_policy

    catalog, found = lint_tools(home.directory, home.settings.tools, reserved=home.reserved)
    problems = [problem for problem in found if problem.severity == "error"]
    known = None
    try:
        known = load_directory(home)
    except Invalid as error:
        problems += error.problems
    problems += _unmet_exchanges(home, catalog) if catalog is not None else []
    if catalog is None or known is None or problems:
        raise Invalid(problems)
    policy = load_policy(*policy_files(home), tags(catalog), shown_as=shown(home))
    if problems := [
        *_unknown_units(home, catalog),
        *check_units(policy, policy_files(home)[1], catalog.units, shown_as=shown(home)),
    ]:
        raise Invalid(problems)
    return Definition(home, catalog, policy, known)


def unmet(home: Home, catalog: Catalog) -> list[Problem]:
    """What the configuration and the tools expect of each other and do not find."""
    return [*_unmet_exchanges(home, catalog), *_unknown_units(home, catalog)]


def _unmet_exchanges(home: Home, catalog: Catalog) -> list[Problem]:
    """Tools that ask for an exchanged token where there is nobody to exchange it."""
    from mcp_guard.manifest.tokens import tools_asking

    if home.settings.identity.oidc.exchange.token_endpoint is not None:
        return []
    hint = "configure identity.oidc.exchange, or use ${token:call}"
    what = "asks for ${token:exchange}, and no exchange is configured"
    return [Problem("token", what, f"tool {name}", hint=hint) for name in tools_asking(catalog, "exchange")]


def _unknown_units(home: Home, catalog: Catalog) -> list[Problem]:
    """Budgets of the home in units no tool costs."""
    units = set(catalog.units.values())
    hint = "say what a tool costs in its manifest, for example cost: {unit: usd, argument: amount}"
    return [
        Problem(
            "unit_unknown",
            f"no tool costs {limit.unit}, so limits.{limit.source[5:]}.budget never holds",
            CONFIG_FILE,
            home.line(f"limits.{limit.source[5:]}.budget"),
            hint=hint,
        )
        for limit in home.settings.limits.all()
        if limit.kind == "budget" and limit.unit not in units
    ]


def load_directory(home: Home) -> Directory:
    """The principals a home knows. Raises `Invalid`."""
    from mcp_guard.identity import directory

    principals = home.path(home.settings.policy.principals)
    return directory.load(principals if principals.exists() else None, shown(home)(principals))


def policy_files(home: Home) -> tuple[Path, Path]:
    policy = home.settings.policy
    return home.path(policy.model), home.path(policy.rules)


def test_files(home: Home) -> list[Path]:
    return sorted({path for pattern in home.settings.policy.tests for path in home.directory.glob(pattern)})


def tags(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    return {name: entry.tool.tags for name, entry in catalog.items()}


def shown(home: Home) -> Callable[[Path], str]:
    """Files in problems as a person in the home would type them."""

    def shown(path: Path) -> str:
        return path.relative_to(home.directory).as_posix() if path.is_relative_to(home.directory) else str(path)

    return shown

"""Questions worth asking a policy: its own names, tools and tenants, and arguments at the edges of its conditions.

An edge is where a condition may turn: for a number c that is c - 1, c and c + 1. Which questions are drawn depends on
the randomness handed in and nothing else.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple

from mcp_guard.model.decision import AccessRequest, Act
from mcp_guard.model.principal import Principal
from mcp_guard.policy import names
from mcp_guard.policy.fields import Kind
from mcp_guard.policy.rows import Row
from mcp_guard.policy.snapshot import Rules
from mcp_guard.policy.usage import Path, Use, uses

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
ACTS: tuple[Act, ...] = ("list", "call", "approve", "task", "audit")

_STRANGERS = ("user:nobody-known", "agent:nobody-known")
_ODD: tuple[object, ...] = (None, True, "", 0, [], {}, "text", 10**15)


def edges(use: Use) -> list[object]:
    """Values around which a use of a field may turn, typical ones first."""
    found: list[object] = []
    for constant in use.constants:
        found += _edges(constant, use)
    if use.kind is Kind.BOOL:
        found += [True, False]
    return found or ["a", 1]


def _edges(constant: object, use: Use) -> list[object]:
    if use.kind is Kind.LIST:
        return [[constant], []]
    match use.function, constant:
        case "all_domains", str():
            return [[f"a@{constant}"], [f"a@{constant}", f"b@x{constant}"], f"a@sub.{constant}"]
        case "within", str():
            return [constant, f"{constant}/a", f"{constant}a", f"{constant}/../a"]
        case "matches", str():
            return [constant.replace("*", "").replace("?", "a"), constant.replace("*", "ab"), f"{constant}/"]
        case _, bool() | None:
            return [constant]
        case _, int() | float():
            return [constant, constant - 1, constant + 1]
        case _, str():
            return [constant, f"{constant}x"]
    return [constant]


@lru_cache(maxsize=4096)
def fields(text: str) -> Mapping[Path, Sequence[object]]:
    """The fields of a condition with values for each. Remembered, because policies repeat their conditions."""
    found: dict[Path, list[object]] = {}
    for use in uses(text):
        found.setdefault(use.path, []).extend(edges(use))
    return found


@dataclass(frozen=True, slots=True)
class World:
    """Everybody and everything a policy's rows and links name."""

    rules: Rules
    members: Mapping[tuple[str, str], Sequence[str]]  # (role, tenant) -> who has it directly
    principals: Sequence[str]
    agents: Sequence[str]
    tenants: Sequence[str]
    tools: Sequence[str]

    @classmethod
    def of(cls, rules: Rules) -> "World":
        members: dict[tuple[str, str], list[str]] = {}
        named = {name for row in rules.rows for name in (row.who, row.via)} | set(_STRANGERS)
        for tenant, graph in rules.roles.by_tenant.items():
            for member, roles in graph.items():
                named.add(member)
                for role in roles:
                    members.setdefault((role, tenant), []).append(member)
        people = sorted(filter(names.is_principal, named))
        agents = [name for name in people if name.startswith("agent:")]
        tenants = sorted(
            {row.tenant for row in rules.rows} - {names.EVERY} | set(rules.roles.by_tenant) | {"elsewhere"}
        )
        tools = [*sorted(rules.tags), *sorted(names.RESOURCES), "no_such_tool"]
        return cls(rules, members, people, agents, tenants, tools)

    def draw(self, random: Random) -> AccessRequest:
        """A question about a row: most of its columns fit, and its condition's fields lie near its edges."""
        row = random.choice(self.rules.rows)
        tenant = self._or_other(random, row.tenant, self.tenants)
        act = random.choice(ACTS) if row.act == names.EVERY else _act(row.act)
        tool = self._or_other(random, self._tool(random, row.tool), self.tools)
        subject, claimed = self._somebody(random, row.who, tenant, self.principals)
        client, _ = self._somebody(random, row.via, tenant, self.agents)
        chain = tuple(random.choices(self.principals, k=random.choice((1, 1, 2)))) if random.random() < 0.15 else ()
        context = self._context(random, row)
        return context.request(Somebody(subject, client, tenant, claimed, chain), act, tool)

    def _or_other(self, random: Random, value: str, others: Sequence[str]) -> str:
        return random.choice(others) if value == names.EVERY or random.random() < 0.1 else value

    def _tool(self, random: Random, word: str) -> str:
        """A tool that a word of the `tool` column names."""
        return random.choice(names.tools_named(word, self.tools, self.rules.tags) or self.tools)

    def _somebody(self, random: Random, wanted: str, tenant: str, others: Sequence[str]) -> tuple[str, frozenset[str]]:
        """Somebody a `who` or `via` column means, and the roles their credential claims for that."""
        if wanted == names.EVERY or random.random() < 0.1:
            return random.choice(others), frozenset()
        name = wanted
        while not names.is_principal(name):
            below = self.members.get((name, tenant))
            if not below or random.random() < 0.2:
                return random.choice(others), frozenset({name})
            name = random.choice(below)
        return name, frozenset()

    def _context(self, random: Random, row: Row) -> "Context":
        rows = [row, random.choice(self.rules.rows)]
        context = Context(MONDAY + timedelta(hours=random.randrange(168), minutes=random.choice((0, 0, 1, 59))))
        for other in rows:
            for path, values in fields(other.when.text).items():
                if random.random() < 0.93:
                    context.put(path, random.choice(values if random.random() < 0.93 else _ODD))
        return context


class Somebody(NamedTuple):
    """Who asks, before there is a context."""

    subject: str
    client: str
    tenant: str
    claimed: frozenset[str] = frozenset()
    chain: tuple[str, ...] = ()


class Context:
    """What a request carries beside its columns."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.arguments: dict[str, object] = {}
        self.attributes: dict[str, object] = {}
        self.scopes: list[str] = []
        self.seen: list[str] = []
        self.spent: dict[str, int | float] = {}
        self.environment: dict[str, object] = {"name": "test"}

    def request(self, who: Somebody, act: Act, tool: str) -> AccessRequest:
        """The question of somebody in this context."""
        principal = Principal(
            who.subject, who.client, who.tenant, "local", "declared",
            scopes=frozenset(self.scopes), roles=who.claimed, attributes=self.attributes, chain=who.chain,
        )  # fmt: skip
        arguments = None if act == "list" else self.arguments
        seen, spent = frozenset(self.seen), self.spent if act == "call" else None
        return AccessRequest(principal, act, tool, self.now, arguments, self.environment, seen, spent)

    def put(self, path: Path, value: object) -> None:
        """Set a field, as far as questions may choose it."""
        match path:
            case ("args", *keys) if keys:
                _nest(self.arguments, keys, value)
            case ("subject", "attributes", *keys) if keys:
                _nest(self.attributes, keys, value)
            case ("env", "name"):
                self.environment["name"] = value
            case ("scopes",) if isinstance(value, list):
                self.scopes += filter(None, map(str, value))
            case ("seen",) if isinstance(value, list):
                self.seen += map(str, value)
            case ("spent", name) if isinstance(value, int | float) and not isinstance(value, bool):
                self.spent[name] = value
            case ("now",) if type(value) is int and 0 <= value < 2**33:
                self.now = datetime.fromtimestamp(value, UTC)


def _nest(data: dict[str, object], keys: Iterable[str], value: object) -> None:
    *above, last = keys
    for key in above:
        below = data.setdefault(key, {})
        if not isinstance(below, dict):
            return
        data = below
    data[last] = value


def _act(text: str) -> Act:
    return next(act for act in ACTS if act == text)

"""A large policy on the ten-column model, and the same policy in Cedar's words.

Roles are given per tenant; Cedar has no such notion, so there a role is an entity per tenant, and what `via` and
`tenant` say stands in the condition. A `require_approval` row is a permit there: Cedar has two effects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from mcp_guard.model.decision import AccessRequest
from mcp_guard.model.principal import Principal

PEOPLE, ROLES, TENANTS, TOOLS = 500, 60, 3, 500
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)

_CONDITIONS = (
    ("r.ctx.args.amount <= {0}", "context.amount <= {0}"),
    ("0 < r.ctx.args.amount and r.ctx.args.amount <= {0}", "0 < context.amount && context.amount <= {0}"),
    ('r.ctx.args.country in ("DE", "FR") and r.ctx.args.amount < {0}',
     '["DE", "FR"].contains(context.country) && context.amount < {0}'),
    ("r.ctx.args.amount > {0} or r.ctx.args.urgent", "context.amount > {0} || context.urgent"),
)  # fmt: skip
_NEVER = ("r.ctx.args.amount > 900000", "context.amount > 900000")


@dataclass(frozen=True, slots=True)
class Row:
    who: str
    via: str
    tenant: str
    act: str
    tool: str
    when: tuple[str, str]
    eft: str


@dataclass(frozen=True, slots=True)
class World:
    """Rows, who has which role where, and the tags of the tools."""

    rows: Sequence[Row]
    links: Sequence[tuple[str, str, str]]
    tools: Mapping[str, tuple[str, ...]]

    def casbin(self) -> str:
        """The rules file."""
        lines = [
            f"p, row-{number}, {row.who}, {row.via}, {row.tenant}, {row.act}, {row.tool}, {row.when[0]}, {row.eft}, "
            f"{'approvers=role:r1; expires=4h' if row.eft == 'require_approval' else '-'}, reason {number}"
            for number, row in enumerate(self.rows)
        ]
        return "\n".join([*lines, *(f"g, {member}, {role}, {tenant}" for member, role, tenant in self.links)]) + "\n"

    def cedar_policies(self) -> str:
        return "\n".join(map(_cedar, self.rows))

    def cedar_entities(self) -> list[dict[str, object]]:
        """The entity graph: people and agents in the roles of each tenant, tools in their tags and prefixes."""
        parents: dict[str, list[tuple[str, str]]] = {}
        for member, role, tenant in self.links:
            name = f"{tenant}/{member}" if member.startswith("role:") else member
            parents.setdefault(name, []).append(("Role", f"{tenant}/{role}"))
        roles = {name for found in parents.values() for _, name in found}
        found = [_entity(_type(name), name, above) for name, above in parents.items()]
        found += [_entity("Role", name, []) for name in sorted(roles - set(parents))]
        for tool, tags in self.tools.items():
            found.append(_entity("Tool", tool, [("Tag", tag) for tag in (*tags, _prefix(tool))]))
        return found


def world(rows: int, seed: int = 1) -> World:
    """So many rows; 3 % about everybody, the others about roles and single people, each with its own threshold."""
    random = Random(seed)
    tools = {
        f"t{number // 10:02d}_{number}": (
            f"risk:{random.choice(('low', 'medium', 'high'))}",
            f"toolset:s{number // 10:02d}",
        )
        for number in range(TOOLS)
    }
    links = [("agent:a0", "role:trusted", f"t{tenant}") for tenant in range(TENANTS)]
    links += [(f"role:r{n}", f"role:r{ROLES + n % 8}", f"t{t}") for n in range(ROLES) for t in range(TENANTS)]
    for number in range(PEOPLE):
        tenant = f"t{number % TENANTS}"
        links += [(f"user:u{number}", f"role:r{role}", tenant) for role in random.sample(range(ROLES), 3)]
    return World([_row(random, number, list(tools)) for number in range(rows)], links, tools)


def requests(world: World, count: int, seed: int = 2) -> list[AccessRequest]:
    """Calls of people in their tenants, each with other arguments."""
    random = Random(seed)
    tools = list(world.tools)
    return [_request(random, tools) for _ in range(count)]


def cedar_request(request: AccessRequest) -> dict[str, object]:
    who = request.principal
    context = {
        **dict(request.arguments or {}),
        "tenant": who.tenant,
        "client": {"__entity": {"type": "Agent", "id": who.client}},
    }
    return {
        "principal": {"type": "User", "id": who.subject},
        "action": {"type": "Action", "id": request.act},
        "resource": {"type": "Tool", "id": request.tool},
        "context": context,
    }


def _request(random: Random, tools: Sequence[str]) -> AccessRequest:
    number = random.randrange(PEOPLE)
    tenant = f"t{number % TENANTS}"
    who = Principal(f"user:u{number}", random.choice(("agent:a0", "agent:a1")), tenant, "local", "declared")
    arguments = {"amount": random.randrange(20_000), "country": random.choice(("DE", "US")), "urgent": False}
    return AccessRequest(who, "call", random.choice(tools), NOW, arguments)


def _row(random: Random, number: int, tools: Sequence[str]) -> Row:
    chance = random.random()
    everybody = chance < 0.03
    who = (
        "*"
        if everybody
        else f"role:r{random.randrange(ROLES + 8)}"
        if chance < 0.9
        else f"user:u{random.randrange(PEOPLE)}"
    )
    tenant = "*" if everybody and random.random() < 0.5 else f"t{random.randrange(TENANTS)}"
    via = "*" if random.random() < 0.8 else random.choice(("role:trusted", "agent:a1"))
    act = random.choice(("list", "call", "call", "call"))
    tool = random.choice(
        (random.choice(tools),) * 7 + (f"toolset:s{random.randrange(50):02d}",) * 2 + (_prefix(random.choice(tools)),)
    )
    eft = random.choices(("allow", "require_approval", "deny"), (80, 13, 7))[0]
    if act == "list":
        return Row(who, via, tenant, act, tool, ("True", "true"), "allow")
    condition = _NEVER if eft == "deny" and random.random() < 0.8 else random.choice(_CONDITIONS)
    return Row(who, via, tenant, act, tool, (condition[0].format(number), condition[1].format(number)), eft)


def _cedar(row: Row) -> str:
    if row.who == "*":
        principal = "principal"
    elif row.who.startswith("role:"):
        principal = f'principal in Role::"{row.tenant}/{row.who}"'
    else:
        principal = f'principal == User::"{row.who}"'
    resource = (
        f'resource == Tool::"{row.tool}"'
        if ":" not in row.tool and "*" not in row.tool
        else f'resource in Tag::"{row.tool}"'
    )
    terms = [] if row.tenant == "*" else [f'context.tenant == "{row.tenant}"']
    if row.via.startswith("agent:"):
        terms.append(f'context.client == Agent::"{row.via}"')
    elif row.via != "*":
        places = [row.tenant] if row.tenant != "*" else [f"t{tenant}" for tenant in range(TENANTS)]
        terms.append("(" + " || ".join(f'context.client in Role::"{place}/{row.via}"' for place in places) + ")")
    terms.append(f"({row.when[1]})")
    effect = "forbid" if row.eft == "deny" else "permit"
    return f'{effect} ({principal}, action == Action::"{row.act}", {resource}) when {{ {" && ".join(terms)} }};'


def _prefix(tool: str) -> str:
    return tool.partition("_")[0] + "_*"


def _type(name: str) -> str:
    return {"user": "User", "agent": "Agent"}.get(name.partition(":")[0], "Role")


def _entity(kind: str, name: str, parents: Sequence[tuple[str, str]]) -> dict[str, object]:
    above = [{"type": parent, "id": identifier} for parent, identifier in parents]
    return {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": above}

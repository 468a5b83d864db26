"""Who has which role where: the `g` links, per tenant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from mcp_guard.model.problem import Problem
from mcp_guard.policy.names import is_role

MAX_LINKS = 9  # stock Casbin walks ten levels and then silently says no

Graph = Mapping[str, tuple[str, ...]]
_NO_LINKS: Graph = MappingProxyType({})


class Link(NamedTuple):
    """`member` has `role` in `tenant`; `line` is where the file says so."""

    member: str
    role: str
    tenant: str
    line: int


@dataclass(frozen=True, slots=True)
class Roles:
    """The links by tenant. `check` has made sure that they hold no cycle and no chain over nine links."""

    by_tenant: Mapping[str, Graph]

    @classmethod
    def of(cls, links: Iterable[Link]) -> "Roles":
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        for link in links:
            graph = found.setdefault(link.tenant, {})
            graph[link.member] = (*graph.get(link.member, ()), link.role)
        return cls(MappingProxyType({tenant: MappingProxyType(graph) for tenant, graph in found.items()}))

    def closure(self, name: str, tenant: str, claimed: Iterable[str] = ()) -> frozenset[str]:
        """`name` and every role it has in `tenant`, directly or through roles.

        `claimed` roles (of a credential) act as links of `name` for this question only. A claim that is not named
        `role:…` is ignored: it would make somebody a different person.
        """
        graph = self.by_tenant.get(tenant, _NO_LINKS)
        found = {name}
        waiting = [name, *filter(is_role, claimed)]
        found.update(waiting)
        while waiting:
            for role in graph.get(waiting.pop(), ()):
                if role not in found:
                    found.add(role)
                    waiting.append(role)
        return frozenset(found)


def check(links: Iterable[Link], shown_as: str) -> list[Problem]:
    """Cycles and chains over nine links, each at the line of a link that is part of it."""
    by_tenant: dict[str, list[Link]] = {}
    for link in links:
        by_tenant.setdefault(link.tenant, []).append(link)
    return [problem for tenant in by_tenant.values() for problem in _check_tenant(tenant, shown_as)]


def _check_tenant(links: list[Link], shown_as: str) -> list[Problem]:
    """Kahn's algorithm from the members down, with the longest chain to every name on the way."""
    below: dict[str, list[Link]] = {}
    incoming: dict[str, int] = {}
    for link in links:
        below.setdefault(link.member, []).append(link)
        incoming.setdefault(link.member, 0)
        incoming[link.role] = incoming.get(link.role, 0) + 1
    ready = [name for name, count in incoming.items() if count == 0]
    longest = dict.fromkeys(ready, 0)
    too_long: list[Link] = []
    done: set[str] = set()
    while ready:
        name = ready.pop()
        done.add(name)
        for link in below.get(name, ()):
            longest[link.role] = max(longest.get(link.role, 0), longest[name] + 1)
            incoming[link.role] -= 1
            if incoming[link.role] == 0:
                ready.append(link.role)
                if longest[link.role] == MAX_LINKS + 1:
                    too_long.append(link)
    problems = [_too_long(link, shown_as) for link in too_long]
    circle = next((link for link in links if link.member not in done and _reaches(below, link.role, link.member)), None)
    return problems if circle is None else [*problems, _cycle(circle, shown_as)]


def _reaches(below: Mapping[str, list[Link]], start: str, goal: str) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        name = waiting.pop()
        if name == goal:
            return True
        fresh = {link.role for link in below.get(name, ())} - seen
        seen |= fresh
        waiting.extend(fresh)
    return False


def _too_long(link: Link, shown_as: str) -> Problem:
    message = f"{link.role} is reached over more than {MAX_LINKS} links; Casbin would silently not see it"
    return Problem("role_chain", message, shown_as, link.line, 1, "shorten the chain of roles")


def _cycle(link: Link, shown_as: str) -> Problem:
    message = f"{link.member} and {link.role} have each other in {link.tenant}"
    return Problem("role_cycle", message, shown_as, link.line, 1, "remove one of the links of the circle")

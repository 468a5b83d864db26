"""Two oracles: our interpreter, for every question, and stock Casbin, where both mean the same.

Stock Casbin knows no approval, raises where a condition fails, and would take somebody called like a role for its
member, so questions with any of these are ours alone.
"""

from dataclasses import dataclass
from typing import Any

from mcp_guard.model.decision import AccessRequest, Effect
from mcp_guard.policy import stock, view
from mcp_guard.policy.compiled import Compiled
from mcp_guard.policy.interpreter import Interpreter, actors, is_answerable
from mcp_guard.policy.names import is_role
from mcp_guard.policy.snapshot import Rules
from tests.policy.conftest import TOOLS


@dataclass
class Tally:
    """How many questions each oracle was asked."""

    interpreter: int = 0
    stock: int = 0


class Oracles:
    """Holds one policy against both oracles."""

    def __init__(self, rules: Rules, text: str, tally: Tally) -> None:
        self.rules = rules
        self.compiled = Compiled(rules)
        self.interpreter = Interpreter(rules)
        self._text = text
        self._tally = tally
        self._enforcers: dict[str, Any] = {}

    def ask(self, request: AccessRequest) -> None:
        """Raises `AssertionError` where an oracle knows better."""
        ours, right = self.compiled.decide(request), self.interpreter.decide(request)
        assert ours == right, f"compiled: {ours}\ninterpreter: {right}"
        sources = [[limit.source for limit in one.then.limits] for one in (ours, right)]
        assert sources[0] == sources[1], f"limits of compiled and interpreter: {sources}"
        again = self.compiled.decide(request)
        assert again == right, f"asked again: {again}\ninterpreter: {right}"
        if request.arguments is None:
            (listed,) = self.compiled.decide_all(
                request.principal, request.act, [request.tool], request.now, request.environment, seen=request.seen
            )
            assert listed == right, f"in a list: {listed}\ninterpreter: {right}"
        self._tally.interpreter += 1
        if self._comparable(request):
            theirs = self._stock(request)
            assert ours.allowed is theirs, f"compiled: {ours}\nstock Casbin allows: {theirs}"
            self._tally.stock += 1

    def _comparable(self, request: AccessRequest) -> bool:
        if not is_answerable(request) or request.principal.subject in request.principal.chain:
            return False
        matched = [
            found for actor in actors(self.rules, request) for found in self.interpreter.matching(actor, request)
        ]
        return all(
            outcome == "false" or (outcome == "applied" and row.effect is not Effect.REQUIRE_APPROVAL)
            for row, outcome in matched
        )

    def _stock(self, request: AccessRequest) -> bool:
        who = request.principal
        claims = "".join(f"g, {who.subject}, {role}, {who.tenant}\n" for role in filter(is_role, who.roles))
        if claims not in self._enforcers:
            self._enforcers[claims] = stock.load(self._text + claims, TOOLS)
        enforce = self._enforcers[claims].enforce
        context = view.of_request(request, self.rules.roles.closure(who.subject, who.tenant, who.roles))
        return all(
            enforce(actor, who.client, who.tenant, request.act, request.tool, context)
            for actor in (who.subject, *who.chain)
        )

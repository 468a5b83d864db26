"""The requirements list and the tests hold each other."""

import ast
from pathlib import Path

from tests.requirements import REQUIREMENTS

TESTS = Path(__file__).parent


def _claimed() -> dict[str, list[str]]:
    claims: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.holds":
                for argument in node.args:
                    claims.setdefault(str(ast.literal_eval(argument)), []).append(path.name)
    return claims


def test_every_requirement_is_held_by_a_test() -> None:
    assert sorted(set(REQUIREMENTS) - set(_claimed())) == []


def test_every_claim_is_a_requirement() -> None:
    assert sorted(set(_claimed()) - set(REQUIREMENTS)) == []

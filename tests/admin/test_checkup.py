"""One finding, as it is shown."""

from mcp_guard.admin.checkup import Check, failed
from mcp_guard.model.errors import Invalid, UsageError
from mcp_guard.model.problem import Problem


def test_a_finding_is_one_line_and_a_hint() -> None:
    check = Check("store", "FAIL", "it is gone", "bring it back", 8)
    assert str(check) == "FAIL store: it is gone\n     hint: bring it back"
    assert check.as_dict() == {"name": "store", "state": "fail", "what": "it is gone", "hint": "bring it back"}
    assert str(Check("store", "ok", "fine")) == "ok   store: fine"


def test_every_problem_is_a_finding() -> None:
    problems = [Problem("a", "is wrong", "f.yaml", 3, 2, "do x"), Problem("b", "is odd", "g.yaml", severity="warning")]
    first, second = failed("tools", Invalid(problems))
    assert (first.state, first.what, first.hint, first.exit_code) == ("FAIL", "f.yaml:3:2: is wrong [a]", "do x", 3)
    assert (second.state, second.what, second.exit_code) == ("warn", "g.yaml: is odd [b]", 0)
    (other,) = failed("home", UsageError("there is none", hint="make one"))
    assert (other.what, other.hint, other.exit_code) == ("there is none", "make one", 2)

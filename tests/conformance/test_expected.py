"""What the runner of the conformance suite takes for unexpected; the suite itself is `make conformance`."""

from ruamel.yaml import YAML

from tests.conformance.__main__ import HERE, REVISIONS, unexpected

PASSES = {"check": "SUCCESS"}
FAILS = {"check": "FAILURE", "other": "SUCCESS"}
WHY = {"check": "a reason"}


def test_only_what_differs_is_unexpected() -> None:
    assert unexpected({"a": PASSES, "b": FAILS, "c": FAILS}, {"b": WHY, "c": {"*": "a reason"}}) == []
    assert unexpected({"a": FAILS}, {}) == ["a: check fails"]
    assert unexpected({"a": PASSES}, {"a": WHY}) == ["a: check is not expected to pass"]
    assert unexpected({"a": PASSES}, {"a": {"*": "a reason"}}) == ["a passes, and is not expected to"]
    assert unexpected({"a": FAILS | {"other": "FAILURE"}}, {"a": WHY}) == ["a: other fails"]
    assert unexpected({}, {"a": WHY}) == ["a is expected to fail, and did not run"]


def test_every_failure_that_is_expected_has_a_reason() -> None:
    expected = YAML(typ="safe").load(HERE / "expected.yaml")
    reasons = [why for name in REVISIONS for checks in expected[name].values() for why in checks.values()]
    assert reasons
    assert all(isinstance(why, str) and len(why) > 20 for why in reasons)

"""Conditions against the labels that tools give."""

import pytest

from tests.policy.conftest import Files, row


@pytest.mark.holds("seen:lint")
def test_a_label_no_tool_gives_is_named_with_the_one_that_was_meant(files: Files) -> None:
    text = row(when='"untrustd" in r.ctx.seen or "pii" in r.ctx.seen', eft="deny") + "\n"
    (problem,) = files.lint(text, given_labels={"untrusted", "pii"})
    assert (problem.code, problem.severity, problem.hint) == ("label_unknown", "warning", "did you mean untrusted?")
    assert text[problem.column - 1 :].startswith("r.ctx.seen or")
    assert [found.code for found in files.lint(text, given_labels=())] == ["label_unknown", "label_unknown"]
    assert files.lint(text) == [], "who does not know the tools says nothing about them"


@pytest.mark.holds("seen:lint")
def test_other_uses_of_the_word_are_no_labels(files: Files) -> None:
    text = row(when='"untrusted" in r.ctx.scopes and r.ctx.env.name == "seen"') + "\n"
    assert files.lint(text, given_labels=()) == []

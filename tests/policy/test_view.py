"""The view stock Casbin gets: keys of data, and nothing of Python."""

import pytest

from mcp_guard.policy import view
from tests.policy.conftest import request


def test_attributes_are_data() -> None:
    context = view.of_request(request(arguments={"items": 3, "pop": {"keys": 4}}), frozenset())
    assert context.args.items == 3  # type: ignore[attr-defined]  # the attribute is a key of the data
    assert context.args.pop.keys == 4  # type: ignore[attr-defined]
    assert "items" in context.args  # type: ignore[operator]


@pytest.mark.parametrize("name", ["get", "values", "missing"])
def test_methods_of_a_mapping_are_not_there(name: str) -> None:
    context = view.of_request(request(arguments={}), frozenset())
    with pytest.raises(KeyError):
        getattr(context.args, name)


def test_nothing_can_be_written() -> None:
    arguments = {"amount": 1}
    context = view.of_request(request(arguments=arguments), frozenset())
    with pytest.raises(TypeError):
        context.args.amount = 2  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        context["args"]["amount"] = 2  # type: ignore[index]
    assert arguments == {"amount": 1}

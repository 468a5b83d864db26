"""Whether a record is true to what stands beside it: its commitments and the values they were made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcp_guard.audit.commitment import commitment_of, matches
from mcp_guard.audit.erasure import Erasures
from mcp_guard.store.side import unpack


@dataclass(frozen=True, slots=True)
class SideCheck:
    """`check_sides`, and that nothing stands there of what the log says was `erased`: it was put back."""

    erased: Erasures

    def __call__(self, record: Mapping[str, object], packed: bytes) -> str | None:
        what, n = check_sides(record, packed), record.get("_n")
        if what is not None or not isinstance(n, int):
            return what
        back = self.erased.back(n, lambda: (side.field for side in unpack(packed)))
        return None if back is None else f"{back} stands beside it although it was erased"


def check_sides(record: Mapping[str, object], packed: bytes) -> str | None:
    """What is wrong between a record's commitments and the values beside it. What was erased is not wrong."""
    try:
        values = {field: (salt, value) for field, salt, value in unpack(packed)}
    except ValueError:
        return "what stands beside it cannot be read"
    known = {field: value for field, (_, value) in values.items()}
    for field, (salt, value) in values.items():
        name, slash, _ = field.partition("/")
        if name not in record:
            return f"a value called {name} stands beside it, which it does not know"
        commitment = commitment_of(record, known, field)
        if value is not None and not matches(commitment, salt, value):
            return f"the value of {field} beside it is not the one it was made with"
        if slash and value is None and name in values and commitment is None:
            return f"a salt for {field} stands beside it, which its value does not know"
    return None

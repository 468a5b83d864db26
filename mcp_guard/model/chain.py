"""The audit chain as functions of values: genesis, leaf and the sealed line.

A line is `{"_n":…,"_p":"…","_t":…,<body>}`. Its leaf, `SHA256(0x00 || line)`, is at once the chain link (the next
record's `_p`) and its RFC 9162 section 2.1.1 Merkle leaf hash, so proofs need no second hash.
"""

from dataclasses import dataclass
from hashlib import sha256

_LEAF_PREFIX = b"\x00"


def genesis(origin: str) -> str:
    """The `_p` of record 0: binds the log to its origin `<name>/<instance>`."""
    return sha256(f"mcp-guard/audit/v1\n{origin}\n".encode()).hexdigest()


def leaf_hash(line: bytes) -> str:
    """The leaf of a stored line, in hex."""
    return sha256(_LEAF_PREFIX + line).hexdigest()


@dataclass(frozen=True, slots=True)
class Tail:
    """Where the chain ends: the next sequence number, the leaf it links to, and the time it must exceed (unix µs)."""

    n: int
    leaf: str
    t: int

    @classmethod
    def start(cls, origin: str) -> "Tail":
        return cls(0, genesis(origin), 0)

    def seal(self, body: bytes, now_us: int) -> tuple[bytes, "Tail"]:
        """Link one canonical JSON object behind this tail.

        `body` is a non-empty canonical object without `_n`, `_p`, `_t`; those sort first, so prepending them
        keeps the line canonical. `_t` is strictly increasing even where the clock is not.
        """
        t = now_us if now_us > self.t else self.t + 1
        line = b'{"_n":%d,"_p":"%s","_t":%d,%s' % (self.n, self.leaf.encode(), t, body[1:])
        return line, Tail(self.n + 1, leaf_hash(line), t)

"""What our code makes from a fixed key and fixed leaves, for Go to judge: `python -m tests.vectors.ours`."""

import json
import sys
from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mcp_guard.model.chain import Tail
from mcp_guard.model.merkle import Frontier, consistency_proof, inclusion_proof, root_of
from mcp_guard.model.note import Checkpoint, Note, Signature, VerifierKey

ORIGIN = "desk/00"
SIZES = (1, 2, 3, 5, 8, 13, 31, 32, 33, 64, 100, 255, 256, 257, 300)


def lines() -> list[bytes]:
    """300 records as the log writes them."""
    tail, made = Tail.start(ORIGIN), []
    for n in range(max(SIZES)):
        line, tail = tail.seal(b'{"boot":"00","kind":"fault","v":%d}' % n, 1_700_000_000_000_000 + n)
        made.append(line)
    return made


def made() -> bytes:
    """The file `made-by-us.json`."""
    records = lines()
    leaves = [sha256(b"\x00" + line).digest() for line in records]
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    key = VerifierKey(ORIGIN, private.public_key().public_bytes_raw())

    def subtree(level: int, index: int) -> bytes:
        return root_of(leaves[index << level : (index + 1) << level])

    def note(size: int) -> str:
        text = Checkpoint(ORIGIN, size, Frontier().extend(leaves[:size]).root).format()
        return Note(text, (Signature(ORIGIN, key.key_id, private.sign(text.encode())),)).format().decode()

    def text(hashes: list[bytes]) -> list[str]:
        return [b64encode(value).decode() for value in hashes]

    pairs = [(first, size) for size in SIZES for first in SIZES if first <= size]
    found = {
        "Leaves": [line.decode() for line in records],
        "Vkey": str(key),
        "Notes": [note(size) for size in SIZES],
        "Roots": {str(size): text([root_of(leaves[:size])])[0] for size in SIZES},
        "Inclusions": [
            {"Index": first - 1, "Size": size, "Proof": text(inclusion_proof(first - 1, size, subtree))}
            for first, size in pairs
        ],
        "Consistencies": [
            {"Old": old, "New": new, "Proof": text(consistency_proof(old, new, subtree))} for old, new in pairs
        ],
    }
    return json.dumps(found, ensure_ascii=False, indent=1).encode() + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(made())

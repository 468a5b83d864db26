"""We accept what Go makes, refuse what Go refuses, and Go accepts what we make (tests/vectors/README.md)."""

import json
from base64 import b64decode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mcp_guard.model.merkle import (
    consistency_proof,
    inclusion_proof,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from mcp_guard.model.note import Checkpoint, Note, NoteError, Signature, VerifierKey, open_note, parse_note
from tests.model.test_note import verify
from tests.vectors import ours

VECTORS = Path(ours.__file__).parent


@cache
def vectors(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((VECTORS / name).read_bytes())
    return found


GO = vectors("made-by-go.json")
LEAVES = [sha256(b"\x00leaf %d" % n).digest() for n in range(1030)]


@cache
def subtree(level: int, index: int) -> bytes:
    return root_of(LEAVES[index << level : (index + 1) << level])


@pytest.mark.holds("audit:go-accepts")
def test_roots_and_proofs_are_the_ones_go_makes() -> None:
    roots = {int(size): b64decode(root) for size, root in GO["Roots"].items()}
    for size, root in roots.items():
        assert root_of(LEAVES[:size]) == root
    for case in GO["Inclusions"]:
        index, size, proof = case["Index"], case["Size"], list(map(b64decode, case["Proof"]))
        assert inclusion_proof(index, size, subtree) == proof
        assert verify_inclusion(LEAVES[index], index, size, proof, roots[size])
    for case in GO["Consistencies"]:
        old, new, proof = case["Old"], case["New"], list(map(b64decode, case["Proof"]))
        assert consistency_proof(old, new, subtree) == proof
        assert verify_consistency(old, root_of(LEAVES[:old]), new, roots[new], proof)


@pytest.mark.holds("audit:go-accepts")
@pytest.mark.parametrize("case", GO["Notes"], ids=[case["Vkey"] for case in GO["Notes"]])
def test_notes_are_byte_for_byte_the_ones_go_makes(case: dict[str, str]) -> None:
    key = VerifierKey.parse(case["Vkey"])
    private = Ed25519PrivateKey.from_private_bytes(b64decode(case["Skey"].rpartition("+")[2])[1:])
    note = Note(case["Text"], (Signature(key.name, key.key_id, private.sign(case["Text"].encode())),))
    assert note.format().decode() == case["Note"]
    assert open_note(parse_note(case["Note"].encode()), [key], verify)


@pytest.mark.holds("audit:go-accepts")
@pytest.mark.parametrize("case", GO["Opened"], ids=[case["Why"] for case in GO["Opened"]])
def test_a_note_opens_exactly_where_go_opens_it(case: dict[str, str]) -> None:
    key = VerifierKey.parse(GO["Notes"][0]["Vkey"])
    assert _accepts(lambda: open_note(parse_note(bytes.fromhex(case["Note"])), [key], verify)) == _ok(case)


@pytest.mark.holds("audit:go-accepts")
@pytest.mark.parametrize("case", GO["Trees"], ids=[case["Why"] for case in GO["Trees"]])
def test_a_checkpoint_is_read_exactly_where_go_reads_a_tree(case: dict[str, str]) -> None:
    assert _accepts(lambda: Checkpoint.parse(bytes.fromhex(case["Note"]).decode())) == _ok(case)


@pytest.mark.holds("audit:go-accepts")
def test_go_accepted_what_we_make() -> None:
    made = ours.made()
    assert made == (VECTORS / "made-by-us.json").read_bytes(), "Go judged other bytes: make and judge them again"
    verdict = vectors("judged-by-go.json")
    assert verdict["Sha256"] == sha256(made).hexdigest()
    assert verdict["Rejected"] == []
    judged = json.loads(made)
    assert verdict["Counts"] == {
        "note": len(judged["Notes"]),
        "inclusion": len(judged["Inclusions"]),
        "consistency": len(judged["Consistencies"]),
    }


def _ok(case: dict[str, str]) -> bool:
    return case["Verdict"] == "ok"


def _accepts(read: Any) -> bool:
    try:
        read()
    except NoteError:
        return False
    return True

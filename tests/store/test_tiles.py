"""Tiles: what the lines alone would give, behind the log, and nothing anybody has to believe."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_guard.model.chain import leaf_hash
from mcp_guard.model.merkle import consistency_proof, inclusion_proof, root_of, verify_consistency, verify_inclusion
from mcp_guard.store.ledger import Ledger
from mcp_guard.store.tiles import subtrees
from tests.simulators.clock import FakeClock
from tests.store.conftest import BOOT
from tests.store.helpers import lines, rows, unit


def tiles(path: Path) -> dict[tuple[object, object], bytes]:
    found = rows(path, "SELECT level, position, hashes FROM tile")
    return {(level, position): hashes for level, position, hashes in found if isinstance(hashes, bytes)}


def specified(leaves: list[bytes]) -> dict[tuple[object, object], bytes]:
    """c2sp.org/tlog-tiles: tile n of level l has hashes n*256…n*256+255 of the complete subtrees of 256^l leaves."""
    found: dict[tuple[object, object], bytes] = {}
    level, hashes = 0, leaves
    while hashes:
        for start in range(0, len(hashes), 256):
            found[level, start // 256] = b"".join(hashes[start : start + 256])
        full = len(hashes) // 256 * 256
        hashes = [root_of(hashes[start : start + 256]) for start in range(0, full, 256)]
        level += 1
    return found


def leaves_of(path: Path) -> list[bytes]:
    return [bytes.fromhex(leaf_hash(line)) for line in lines(path)]


@pytest.mark.holds("store:tiles-derived")
@given(st.lists(st.integers(1, 400), max_size=5), st.sampled_from([1, 100, 256, 2048]))
@settings(deadline=None, max_examples=15)
def test_tiles_are_the_specified_ones_however_they_grew(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], step: int
) -> None:
    path = tmp_path_factory.mktemp("store") / "guard.db"
    ledger = Ledger(path, BOOT, FakeClock())
    ledger.create("test")
    for size in batches:
        ledger.write([unit()] * size)
        ledger.index(step)
    while ledger.unindexed:
        ledger.index(step)
    ledger.close()
    assert tiles(path) == specified(leaves_of(path))


@pytest.mark.holds("store:tiles-derived")
def test_tiles_made_from_the_lines_are_the_same(ledger: Ledger, path: Path, clock: FakeClock) -> None:
    ledger.write([unit()] * 700)
    ledger.index(2048)
    made = tiles(path)
    rows(path, "DELETE FROM tile")
    rows(path, "DELETE FROM meta WHERE key = 'tiled'")
    other = Ledger(path, "00000000000000bb", clock)
    other.create("test")
    other.index(2048)
    other.close()
    assert tiles(path) == made


@pytest.mark.holds("store:tiles-derived")
def test_a_damaged_tile_is_made_anew(ledger: Ledger, path: Path) -> None:
    ledger.write([unit()] * 300)
    ledger.index(2048)
    rows(path, "UPDATE tile SET hashes = x'00' WHERE level = 0 AND position = 1")
    ledger.write([unit()])
    while ledger.unindexed:
        ledger.index(2048)
    assert tiles(path) == specified(leaves_of(path))


@pytest.mark.holds("audit:merkle-proofs")
@given(st.data())
@settings(deadline=None, max_examples=60)
def test_proofs_from_tiles_and_the_leaves_behind_them(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70_000))
    known = data.draw(st.integers(max(0, size - 300), size))
    leaves = [n.to_bytes(32, "big") for n in range(size)]
    stored = specified(leaves[:known])
    subtree = subtrees(lambda level, position: stored.get((level, position), b""), known, leaves[known:])
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    assert verify_inclusion(leaves[index], index, size, inclusion_proof(index, size, subtree), root_of(leaves))
    proof = consistency_proof(old, size, subtree)
    assert verify_consistency(old, root_of(leaves[:old]), size, root_of(leaves), proof)

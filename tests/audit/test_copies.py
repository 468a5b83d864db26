"""Copies of checkpoints: written whole, replaced by their own future only."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mcp_guard.audit.anchors import AnchorFailed, LogForked, Reply
from mcp_guard.audit.copies import FileCopy, HttpCopy
from mcp_guard.audit.proofs import Proofs
from tests.audit.anchored import Signing
from tests.audit.signing import Signer, checkpoint
from tests.audit.test_key_epochs import LOG
from tests.simulators.clock import FakeClock


@pytest.fixture
async def signing(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Signing]:
    opened = await Signing.open(tmp_path / "home", clock)
    await opened.grow(5)
    yield opened
    await opened.aclose()


def file_copy(signing: Signing, path: Path) -> FileCopy:
    return FileCopy("copy", path, Proofs(signing.store).growth, signing.store.clock)


@pytest.mark.holds("anchors:copies")
async def test_a_file_holds_the_newest_checkpoint(signing: Signing, tmp_path: Path) -> None:
    copy = file_copy(signing, tmp_path / "mount" / "log.checkpoint")
    copy.path.parent.mkdir()
    for _ in range(3):
        confirmed = await copy.confirm(signing.admin.newest, 0)
        assert copy.path.read_bytes() == confirmed.note == (await signing.admin.newest()).note
        await signing.grow(2)
    assert [path.name for path in copy.path.parent.iterdir()] == ["log.checkpoint"]


@pytest.mark.holds("anchors:copies", "anchors:fork")
async def test_evidence_of_another_history_is_never_overwritten(signing: Signing, tmp_path: Path) -> None:
    path = tmp_path / "log.checkpoint"
    signer = Signer(signing.store.origin, 1)
    for size in (4, 20):
        path.write_bytes(checkpoint(LOG.lines, signing.store.origin, signer, size).format())
        before = path.read_bytes()
        with pytest.raises(LogForked, match=f"of {size} records"):
            await file_copy(signing, path).confirm(signing.admin.newest, 0)
        assert path.read_bytes() == before


@pytest.mark.holds("anchors:copies")
@pytest.mark.parametrize(
    "content", [b"", b"important", checkpoint(LOG.lines, "other/1", Signer("other/1", 1)).format()]
)
async def test_a_file_of_something_else_is_left_alone(signing: Signing, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(AnchorFailed, match="something else"):
        await file_copy(signing, path).confirm(signing.admin.newest, 0)
    assert path.read_bytes() == content


@pytest.mark.holds("anchors:copies")
async def test_a_mount_that_is_missing_is_not_made(signing: Signing, tmp_path: Path) -> None:
    with pytest.raises(AnchorFailed, match="No such file"):
        await file_copy(signing, tmp_path / "mount" / "file").confirm(signing.admin.newest, 0)
    assert not (tmp_path / "mount").exists()


@pytest.mark.holds("anchors:copies")
@pytest.mark.parametrize(("status", "received"), [(200, True), (204, True), (199, False), (400, False), (500, False)])
async def test_any_2xx_is_taken_for_received(signing: Signing, status: int, received: bool) -> None:
    sent: list[tuple[str, bytes]] = []

    async def post(path: str, body: bytes, kind: str) -> Reply:
        sent.append((path, body))
        return Reply(status, "text/plain", b"")

    copy = HttpCopy("archive", post, signing.store.clock)
    if received:
        assert (await copy.confirm(signing.admin.newest, 0)).size == 6
    else:
        with pytest.raises(AnchorFailed, match=f"answered {status}"):
            await copy.confirm(signing.admin.newest, 0)
    assert sent == [("", (await signing.admin.newest()).note)]

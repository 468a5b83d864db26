"""What an operator, or a serving process over time, asks of the keys that sign the log."""

from dataclasses import dataclass

from mcp_guard.audit.epochs import Epochs
from mcp_guard.model.note import VerifierKey
from mcp_guard.store.store import Store
from mcp_guard.store.values import Signed


@dataclass(frozen=True, slots=True)
class SigningAdmin:
    """The signing of one store's log. Every method raises `GuardError` where it cannot be done."""

    store: Store
    epochs: Epochs

    async def begin(self) -> VerifierKey:
        """Sign from now on; the key in force. A first key is made, a change that was cut off is finished."""
        return await self.store.writer.alone(self.epochs.begin)

    async def newest(self) -> Signed:
        """The log as it is, signed."""
        return await self.store.writer.alone(self.epochs.newest)

    async def rotate(self) -> VerifierKey:
        """Change to a new key; the old one is gone afterwards."""
        return await self.store.writer.alone(self.epochs.rotate)

    async def tend(self) -> None:
        """Do what time asks for: another key after an epoch, a sign of life in a log where nothing happens."""
        await self.store.writer.alone(self.epochs.tend)

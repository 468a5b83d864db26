"""Reading files that somebody else may have made as large as they like."""

from pathlib import Path


def read_bytes(path: Path, most: int) -> bytes:
    """What a file holds, and one byte more than `most` of what is larger: enough to see that it is, whatever it is.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        return file.read(most + 1)

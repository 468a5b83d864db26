"""What is said of an exception nobody expected: kind and place, never its text, which quotes values."""

import traceback
from pathlib import Path

_PLACES = 6


def kind_and_place(error: BaseException) -> str:
    """For example `KeyError at prices.py:40, shop.py:12`: the innermost place first, six at most.

    Of an import that failed the module is named as well.
    """
    kind = type(error).__name__
    if isinstance(error, ImportError) and error.name:
        kind += f" ({error.name})"
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    places = ", ".join(f"{Path(file).name}:{line}" for file, line in reversed(frames[-_PLACES:]))
    return f"{kind} at {places}" if places else kind

"""How deep a JSON text is nested, told without parsing it and without recursion.

Standard library only, and nothing of ours: these lines are also part of the stand-alone verifier.
"""

import re

_TOKENS = re.compile(rb'"[^"]*"?|[\[\]{}]')
"""Without escapes: a text from one quote to the next. Each byte is looked at once, whatever strangers send."""


def is_deeper(data: bytes, most: int) -> bool:
    """Whether arrays and objects are nested in more than `most` levels; most texts pass on two counts alone.

    Time grows with the text, and memory by no more than copies of it. Of what is no JSON only the part before the
    first mistake counts, since no parser gets further.
    """
    if data.count(b"[") + data.count(b"{") <= most:
        return False
    depth = 0
    for match in _TOKENS.finditer(data.replace(rb"\\", b"").replace(rb"\"", b"")):
        token = match.group()
        if token in (b"[", b"{"):
            depth += 1
            if depth > most:
                return True
        elif token in (b"]", b"}"):
            depth -= 1
    return False

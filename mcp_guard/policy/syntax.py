"""The text of a condition becomes a syntax tree, or a `ConditionError` that says where and what to write instead.

Refused here: whatever is not one Python expression by itself (so a text that closes Casbin's bracket and opens
another cannot work), and whatever stock Casbin would rewrite before it evaluates, so that both read the same.
"""

import ast
import re

from mcp_guard.policy import stock

MAX_TEXT = 2000

_TOKEN = re.compile(r"""(?P<text>"[^"]*"|'[^']*')|[A-Za-z_]\w*|(?P<number>[0-9][\w.]*)|(?P<other>[^\x00-\x7f])""")
_STRING = re.compile(r"""("[^"]*"|'[^']*')""")
_OWN_NAME = re.compile(r"""(?P<text>"[^"]*"|'[^']*')|(?<![\w.])r\.""")
_LOOSE_DOT = re.compile(r"\s\.|\.\s")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


class ConditionError(Exception):
    """`offset` counts characters of the condition from 0."""

    def __init__(self, code: str, message: str, offset: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.hint = hint


def parse(text: str) -> ast.expr:
    """The expression a condition is. Raises `ConditionError`."""
    _check_text(text)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        column = getattr(error, "offset", None)
        raise ConditionError(
            "condition_syntax", "is not an expression", max((column or 1) - 1, 0), _advice(text)
        ) from None
    return tree.body


def offset(text: str, node: ast.expr) -> int:
    """Where a node starts, in characters (the tree counts bytes)."""
    return len(text.encode()[: node.col_offset].decode("utf-8", "ignore"))


def check_rewriting(text: str) -> None:
    """Raises `ConditionError` where stock Casbin would read something else.

    It edits the text before parsing it (`r.` to `r_`, `!` to `not`, `&&` to `and`), also inside string literals. The
    one edit it may make here is that of the name `r`.
    """
    expected = _OWN_NAME.sub(lambda match: match["text"] or "r_", text)
    if stock.rewritten(text) != expected:
        hint = 'avoid `r.`, `p.`, `!`, `&&` and `||` in quotes; write an argument named r as r.ctx.args["r"]'
        raise ConditionError("condition_rewritten", "stock Casbin would change this text before reading it", 0, hint)


def _check_text(text: str) -> None:
    if not text:
        raise ConditionError("condition_syntax", "the condition is empty", 0, "write True where a row has no condition")
    if len(text) > MAX_TEXT:
        raise ConditionError("condition_too_long", f"a condition has at most {MAX_TEXT} characters", 0, "split the row")
    if "\\" in text:
        hint = "there are no escapes; within() understands / in Windows paths"
        raise ConditionError("condition_character", "a condition holds a backslash", text.index("\\"), hint)
    if "#" in _TOKEN.sub("", text):
        raise ConditionError(
            "condition_syntax", "a condition has no comments", text.rindex("#"), "use `why`, or a # line"
        )
    if '"""' in text or "'''" in text or _LOOSE_DOT.search(_STRING.sub('""', text)):
        hint = "write texts in single or double quotes, and fields without blanks: r.ctx.args.amount"
        raise ConditionError("condition_syntax", "this could be read in two ways", 0, hint)
    for token in _TOKEN.finditer(text):
        if token["other"]:
            hint = "outside of quotes a condition is ASCII"
            raise ConditionError("condition_character", "a look-alike character", token.start(), hint)
        if token["number"] and not _NUMBER.fullmatch(token["number"]):
            hint = "write numbers as 100 or 0.5"
            raise ConditionError("condition_syntax", "a number is not written plainly", token.start(), hint)


def _advice(text: str) -> str:
    bare = _TOKEN.sub("", text)
    if "&" in bare or "|" in bare or "!" in bare.replace("!=", ""):
        return "write `and`, `or`, `not`"
    if "=" in re.sub("[=!<>]=", "", bare):
        return "compare with =="
    return 'a condition is one Python expression; an awkward argument name is written r.ctx.args["from"]'

"""Strings that have broken somebody's program: each must arrive as what it is, or be refused, and never do anything."""

NAUGHTY: tuple[str, ...] = (
    # nothing, white space, and words that programs take for values
    "", " ", "   padded   ", "\t", "\n", "\r\n", "undefined", "null", "None", "NULL", "nil", "true", "False", "NaN",
    "Infinity", "-Infinity",
    # numbers in disguise
    "0", "-0", "007", "0x1F", "1e309", "1_000", "1,000.00", "٣٤", "²", "99999999999999999999999", "0.1e-400",
    # quotes, escapes, control characters
    "'", '"', "''\"\"``", "\\", "\\\\server\\share", "\\u0041", "a\x00b", "\x1b[31mred\x1b[0m",
    "\x7f\x80\x9f", "\ufeffbom",
    # scripts, directions, marks, planes
    "Iñtërnâtiônàlizætiøn", "田中さんにあげて下さい", "مرحبا بالعالم", "\u202eevil\u202c",
    "Z\u0351\u036b\u0343a\u0337lgo", "\U0001f468\u200d\U0001f469\u200d\U0001f467\ufe0f",
    "\U0010ffff", "ﷺ", "ß→SS", "İi̇", "\u200b\u200c\u200d", "﹏﷽",
    # templates and interpolation
    "{amount}", "{{x}}", "${secret:key}", "${env:HOME}", "#{7*7}", "{{7*7}}", "%s%n%d", "$(id)", "`id`",
    "%(x)s", "{0.__class__}",
    # SQL, shell, paths, markup
    "1; DROP TABLE orders--", "' OR '1'='1", "\"; SELECT 1; --", ":id", "; rm -rf /", "| cat /etc/passwd",
    "--help", "-rf", "$HOME",
    "../../etc/passwd", "..\\..\\boot.ini", "%2e%2e%2f", "file:///etc/passwd", "CON", "<script>alert(1)</script>",
    "<!--#exec cmd=ls-->", "<![CDATA[x]]>", "&lt;&#x27;", "a\r\nSet-Cookie: x=1", "http://a/%%30%30",
    "jav&#x0A;ascript:",
    # long
    "A" * 10_000,
)  # fmt: skip

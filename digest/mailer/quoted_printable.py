"""Quoted-printable (RFC 2045, 6.7) that breaks lines at spaces, so that links stay whole.

A "." that begins a line is encoded, so that SMTP has no dot to double.
"""

import re

# With the "=" of a soft line break.
MAX_LINE_CHARS = 76
UNSAFE = re.compile(r"[^\t\x20-\x3c\x3e-\x7e]")
SOFT_BREAK = "=\r\n"


def encode_body(text: str, unsafe: re.Pattern[str] = UNSAFE) -> str:
    """Encode a body as ASCII lines that end with CRLF; a missing line end is added.

    Raises UnicodeEncodeError for a lone surrogate.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return "".join([fold_line(escape_line(line, unsafe)) for line in lines])


def escape_line(line: str, unsafe: re.Pattern[str]) -> str:
    """Encode a line's `unsafe` characters, and a space at its end."""
    escaped = unsafe.sub(escape_character, line)
    if escaped.endswith((" ", "\t")):
        escaped = f"{escaped[:-1]}={ord(escaped[-1]):02X}"
    return escaped


def escape_character(match: re.Match[str]) -> str:
    return "".join(f"={byte:02X}" for byte in match[0].encode())


def fold_line(escaped: str) -> str:
    """Break an encoded line after spaces, else at any character but within an escape."""
    lines = []
    rest = escape_dot(escaped)
    while len(rest) > MAX_LINE_CHARS:
        end = rest.rfind(" ", 1, MAX_LINE_CHARS - 1) + 1
        if not end:
            end = MAX_LINE_CHARS - 1
            escape = rest.rfind("=", end - 2, end)
            end = escape if escape >= 0 else end
        lines.append(rest[:end])
        rest = escape_dot(rest[end:])
    return SOFT_BREAK.join([*lines, rest]) + "\r\n"


def escape_dot(line: str) -> str:
    return f"=2E{line[1:]}" if line.startswith(".") else line

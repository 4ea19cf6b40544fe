"""Addresses in plain text become links, and everything else is escaped."""

import re

from markupsafe import Markup, escape

ADDRESS = re.compile(r"https?://[^\s<>\"'`]+")
# What ends a sentence or a bracket, not an address.
TRAILING = ".,;:!?)]}…"


def linked(text: str) -> Markup:
    """Plain text as HTML, safe whatever it holds; web addresses in it can be pressed."""
    parts, end = [], 0
    for found in ADDRESS.finditer(text):
        address = found[0].rstrip(TRAILING)
        parts += [escape(text[end : found.start()]), _link(address)]
        end = found.start() + len(address)
    return Markup("").join([*parts, escape(text[end:])])


def _link(address: str) -> Markup:
    return Markup('<a href="{0}" rel="nofollow noopener">{0}</a>').format(address)

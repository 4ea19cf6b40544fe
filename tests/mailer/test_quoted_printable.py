"""Bodies in quoted-printable: every reader's program decodes them, and links stay whole."""

import quopri

from hypothesis import given
from hypothesis import strategies as st

from digest.mailer.quoted_printable import encode_body

LINES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
# Long words, escapes, dots and spaces where lines break.
DENSE_LINES = st.text(st.sampled_from("aé .=\t\n—"), max_size=400)


@given(st.one_of(LINES, DENSE_LINES))
def test_the_standard_library_decodes_what_was_encoded(text):
    encoded = encode_body(text)

    decoded = quopri.decodestring(encoded.encode("ascii")).decode()
    ended = text if text.endswith("\n") or not text else f"{text}\n"
    assert decoded.replace("\r\n", "\n") == ended


@given(st.one_of(LINES, DENSE_LINES))
def test_lines_are_short_and_begin_with_no_dot(text):
    lines = encode_body(text).split("\r\n")

    assert max(map(len, lines)) <= 76
    assert not any(line.startswith(".") or line.endswith((" ", "\t")) for line in lines)


def test_a_link_is_moved_to_the_next_line_instead_of_broken():
    link = f'href="https://papers.example.org/d/{"k" * 22}/7/arxiv"'

    encoded = encode_body(f'<p style="color: red"><a class="o" {link}>arXiv</a></p>')

    assert link.replace("=", "=3D") in encoded

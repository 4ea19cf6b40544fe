"""Links are made after escaping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.site.linkify import linked


def test_an_address_becomes_a_link_and_the_rest_is_escaped():
    html = linked("Code & <data>: https://example.org/a?b=1&c=2.")

    assert html == (
        "Code &amp; &lt;data&gt;: "
        '<a href="https://example.org/a?b=1&amp;c=2" rel="nofollow noopener">'
        "https://example.org/a?b=1&amp;c=2</a>."
    )


@pytest.mark.parametrize("end", [".", ")", "),", "!", "…", "}."])
def test_what_ends_a_sentence_is_not_part_of_an_address(end):
    assert f"https://example.org/x</a>{end}" in linked(
        f"(see https://example.org/x{end}"
    )


def test_no_scheme_but_the_web_s_is_linked():
    assert "<a" not in linked("javascript:alert(1) data:text/html,x ftp://example.org")


@given(st.text(alphabet="<>\"'&htps:/.x )", max_size=60))
def test_no_text_opens_an_element_of_its_own(text):
    html = linked(text)

    assert html.count("<") == 2 * html.count("<a href=")

"""The linkify filter of the Jinja2 environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.jinja import linkify


def test_linkify_escapes_text_and_links_urls():
    html = linkify("Code & <data>: https://example.org/a?b=1&c=2.")

    assert html == (
        "Code &amp; &lt;data&gt;: "
        '<a href="https://example.org/a?b=1&amp;c=2" rel="nofollow noopener">'
        "https://example.org/a?b=1&amp;c=2</a>."
    )


@pytest.mark.parametrize("end", [".", ")", "),", "!", "…", "}."])
def test_linkify_leaves_trailing_punctuation_out_of_the_link(end):
    assert f"https://example.org/x</a>{end}" in linkify(
        f"(see https://example.org/x{end}"
    )


def test_linkify_links_http_and_https_only():
    assert "<a" not in linkify("javascript:alert(1) data:text/html,x ftp://example.org")


@given(st.text(alphabet="<>\"'&htps:/.x )", max_size=60))
def test_linkify_never_opens_another_element(text):
    html = linkify(text)

    assert html.count("<") == 2 * html.count("<a href=")

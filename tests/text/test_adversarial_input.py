"""Long adversarial texts: the time of every pure function is linear in their length."""

import time

import pytest

from digest.ingest.sources import xml
from digest.ingest.sources.listing import SourceError
from digest.text.arxiv_ids import find_arxiv_ids
from digest.text.mathml import split_formulas
from digest.text.plain import find_code_url, to_plain_text
from digest.text.summary import summarize
from digest.text.tokens import spelling_variants
from digest.text.withdrawals import says_withdrawn

CHARS = 200_000
# A quadratic function takes longer for this many characters; the slowest linear one takes
# two seconds.
MAX_CPU_S = 10.0


def parse_xml(text):
    try:
        xml.parse_root(text.encode())
    except SourceError:
        return


CASES = [
    (find_arxiv_ids, ("arxiv:   ", "abs-", "2401.", "2401.01234v", "%2", "%252525")),
    (find_arxiv_ids, ("10.48550/arxiv.", "math.GT/", "arxiv.org/abs/", "2024arXiv")),
    (to_plain_text, ("$ https://x", "$ https://x)", "&#", "&a", "url{", "``", "`a'")),
    (find_code_url, ("github.com/", "github.com/a/b", "github.com/a/b)", "github.")),
    (split_formulas, ("$a$ ", "$a", "\\(", "\\[a", "\\(\\)", "$\\frac{1}{2}$ ")),
    (summarize, ("A. ", "We ", "We also ", "To this ", "In this a ", "e.g. ", "?! ")),
    (spelling_variants, ("-", "a-", "e\u0301", "C++", "\u0141")),
    (parse_xml, ("<!--", "<!-- -->", "<?x", "<?x?>", "&#x0", "&amp", "<a>", " ")),
    (lambda text: says_withdrawn(text, text), ("this paper has ", "the paper ")),
    (lambda text: says_withdrawn(text, text), ("withdraw ", "withdrawn from ", ". ")),
]


@pytest.mark.parametrize(
    ("function", "piece"),
    [(function, piece) for function, pieces in CASES for piece in pieces],
)
def test_time_is_linear(function, piece):
    start = time.process_time()

    function(piece * (CHARS // len(piece)))

    assert time.process_time() - start < MAX_CPU_S


@pytest.mark.parametrize("function", [to_plain_text, find_code_url, split_formulas])
@pytest.mark.parametrize("tail", [")", "].", ",)"])
def test_time_is_linear_in_the_punctuation_after_an_address(function, tail):
    start = time.process_time()

    function("$ https://github.com/a/b" + tail * (CHARS // len(tail)))

    assert time.process_time() - start < MAX_CPU_S

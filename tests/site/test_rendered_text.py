"""Real titles and abstracts on cards: no raw command or brace where it can be rendered."""

import gzip
import json
import re
from itertools import islice

import pytest
from django.template import engines

from digest.cards import card
from digest.models import Paper
from digest.text.plain import to_plain_text
from tests.conftest import DATA, needs_data
from tests.make import DAY

CARD = """{% import "pages/macros.html" as macros with context %}{{ macros.paper(card) }}"""
COMMAND = re.compile(r"\\[A-Za-z]+|\\[{}$%&_#]")
# Sets such as {1,2} are braces that readers should see; a group after a command, an index
# or another group is what LaTeX would have hidden.
GROUP = re.compile(r"[\w\^_}]\{[^{}]{0,40}\}")
EVERY_NTH_OF_40K = 25


def shown_text(template, title_raw, abstract_raw):
    """The text of a card, as a reader sees it."""
    paper = Paper(
        identifier="2611.00001",
        announced_on=DAY,
        title_raw=title_raw,
        abstract_raw=abstract_raw,
        title=to_plain_text(title_raw),
        abstract=to_plain_text(abstract_raw),
    )
    raw = {"title_raw": title_raw, "abstract_raw": abstract_raw, "topics": []}
    html = template.render({"card": card(paper) | raw})
    without_addresses = re.sub(r"https?://\S+", "", html)
    return re.sub(r"<[^>]*>", "", without_addresses)


def read_papers(name):
    if name == "seed":
        lines = (DATA / "seed_papers.jsonl").read_text().splitlines()
    else:
        with gzip.open(DATA / "corpus" / "papers_sample_40k.jsonl.gz", "rt") as file:
            lines = list(islice(file, 0, None, EVERY_NTH_OF_40K))
    return [json.loads(line) for line in lines]


@needs_data
@pytest.mark.parametrize(
    ("name", "count", "damaged"),
    [
        # Sources that had lost a command: "8{255}" of a fraction, "x1_{x>0}".
        ("seed", 721, 0.01),
        ("sample", 1600, 0.003),
    ],
)
def test_real_papers_show_no_raw_command_and_hardly_a_group(name, count, damaged):
    template = engines["jinja2"].from_string(CARD)
    papers = read_papers(name)

    texts = [shown_text(template, row["title"], row["abstract"]) for row in papers]

    assert len(texts) >= count
    assert [text for text in texts if COMMAND.search(text)] == []
    assert sum(bool(GROUP.search(text)) for text in texts) <= damaged * len(texts)

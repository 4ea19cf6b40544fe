"""Cards: what a mail and a page show of one paper, as plain values that templates escape."""

import re
from collections.abc import Sequence
from typing import Any

from digest.models import Paper
from digest.text.summary import first_sentences, summarize, summarize_in_one_line

# Hugging Face's summaries are one sentence; 95 of 100 have at most 281 characters.
MAX_GENERATED_CHARS = 340


def authors_line(names: Sequence[str], shown: int = 3) -> str:
    """Name the first authors and count the others: "A, B, C + 12 more"."""
    more = len(names) - shown
    if more <= 1:  # the last name takes no more room than "+ 1 more"
        return ", ".join(names)
    return f"{', '.join(names[:shown])} + {more:,} more"


def card(paper: Paper) -> dict[str, Any]:
    """Build the card that an edition stores: plain text, web addresses only.

    An editor's corrections replace what the source says.
    """
    return {
        "identifier": paper.identifier,
        "title": paper.display_title,
        "authors": authors_line(paper.authors),
        "organization": paper.organization,
        "date": paper.announced_on.isoformat(),
        "published": paper.published_at.date().isoformat()
        if paper.published_at
        else None,
        "summary": paper.corrected_summary or summarize(paper.abstract, paper.title),
        "one_line": paper.corrected_summary or one_line_summary(paper),
        "one_line_is_generated": bool(paper.ai_summary and not paper.corrected_summary),
        "abstract": paper.abstract,
        "primary": paper.primary,
        "categories": list(paper.categories),
        "announce_type": paper.announce_type,
        "votes": paper.votes,
        "comments": paper.comments,
        "stars": paper.stars,
        "arxiv_url": paper.arxiv_url,
        "pdf_url": paper.pdf_url,
        "code_url": _web_address(paper.code_url),
        "project_url": _web_address(paper.project_url),
    }


def one_line_summary(paper: Paper) -> str:
    """Return the machine-written summary of its source, else the sentence that says what was done."""
    if not paper.ai_summary:
        return summarize_in_one_line(paper.abstract, paper.title)
    return first_sentences(paper.ai_summary, MAX_GENERATED_CHARS)


def _web_address(url: str) -> str:
    """Drop javascript: and other schemes, because readers are redirected to it."""
    return url if re.match(r"https?://[^\s/]", url) else ""

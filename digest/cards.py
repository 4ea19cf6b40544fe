"""What a mail and a page show of one paper, as plain values to be escaped there."""

import re
from collections.abc import Sequence
from typing import Any

from digest.models import Paper
from digest.text.summary import summarize


def authors_line(names: Sequence[str], first: int = 3) -> str:
    """The first names and how many more: "A, B, C + 12 more". One more is named: that takes no more room."""
    more = len(names) - first
    if more <= 1:
        return ", ".join(names)
    return f"{', '.join(names[:first])} + {more:,} more"


def card(paper: Paper) -> dict[str, Any]:
    """All of a paper that an edition keeps; plain text, addresses of the web only."""
    return {
        "identifier": paper.identifier,
        "title": paper.title,
        "authors": authors_line(paper.authors),
        "organization": paper.organization,
        "date": paper.announced_on.isoformat(),
        "published": paper.published_at.date().isoformat()
        if paper.published_at
        else None,
        "summary": summarize(paper.abstract, paper.title),
        "abstract": paper.abstract,
        "primary": paper.primary,
        "categories": list(paper.categories),
        "announce_type": paper.announce_type,
        "votes": paper.votes,
        "comments": paper.comments,
        "stars": paper.stars,
        "arxiv_url": paper.arxiv_url,
        "pdf_url": paper.pdf_url,
        "code_url": _address(paper.code_url),
        "project_url": _address(paper.project_url),
    }


def _address(url: str) -> str:
    """Nothing for javascript: and the like; readers will be sent there."""
    return url if re.match(r"https?://[^\s/]", url) else ""

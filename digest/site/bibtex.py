"""A paper as BibTeX."""

import re
import unicodedata

from digest.models import Paper

# What TeX would otherwise act upon.
ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def bibtex(paper: Paper) -> str:
    """An @misc record as arXiv recommends it: eprint, archivePrefix, primaryClass."""
    fields = {
        "title": f"{{{tex(paper.title)}}}",
        "author": " and ".join(tex(name) for name in paper.authors),
        "year": str(year(paper)),
        "eprint": paper.identifier,
        "archivePrefix": "arXiv",
        "primaryClass": paper.primary,
        "doi": paper.doi,
        "url": paper.arxiv_url,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return f"@misc{{{key(paper)},\n" + ",\n".join(lines) + "\n}"


def tex(text: str) -> str:
    return "".join(ESCAPES.get(sign, sign) for sign in text)


def year(paper: Paper) -> int:
    return (paper.published_at or paper.announced_on).year


def key(paper: Paper) -> str:
    """The first author's last name, the year and the first word of the title, in ASCII."""
    last = (paper.authors or ["unknown"])[0].split()[-1:] or ["unknown"]
    word = next((w for w in re.findall(r"\w+", paper.title) if len(w) > 3), "paper")
    return f"{plain(last[0]) or 'unknown'}{year(paper)}{plain(word) or 'paper'}"


def plain(text: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_only.lower())

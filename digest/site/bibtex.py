"""Papers as BibTeX."""

import re
import unicodedata

from digest.models import Paper

TEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}


def format_bibtex(paper: Paper) -> str:
    """Format an @misc record with the fields arXiv recommends: eprint, archivePrefix, primaryClass."""
    fields = {
        "title": f"{{{escape_tex(paper.title)}}}",
        "author": " and ".join(escape_tex(name) for name in paper.authors),
        "year": str(publication_year(paper)),
        "eprint": paper.identifier,
        "archivePrefix": "arXiv",
        "primaryClass": paper.primary,
        "doi": paper.doi,
        "url": paper.arxiv_url,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return f"@misc{{{citation_key(paper)},\n" + ",\n".join(lines) + "\n}"


def escape_tex(text: str) -> str:
    return "".join(TEX_ESCAPES.get(char, char) for char in text)


def publication_year(paper: Paper) -> int:
    return (paper.published_at or paper.announced_on).year


def citation_key(paper: Paper) -> str:
    """Join the first author's last name, the year and the first long word of the title, in ASCII."""
    names = (paper.authors or ["unknown"])[0].split() or ["unknown"]
    word = next((w for w in re.findall(r"\w+", paper.title) if len(w) > 3), "paper")
    author = ascii_letters(names[-1]) or "unknown"
    return f"{author}{publication_year(paper)}{ascii_letters(word) or 'paper'}"


def ascii_letters(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_text.lower())

"""Papers as citations: BibTeX, RIS, and the metadata that Zotero and search engines read."""

import json
import re
import unicodedata
from typing import Any

from django.urls import reverse
from markupsafe import Markup

from digest.models import Paper
from digest.text.authors import SUFFIX

TEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # BibTeX counts escaped braces too, so these must not appear alone.
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
    **{char: f"\\{char}" for char in "&%$#_"},
}
# Characters of JSON that could end a script element.
JSON_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
# A name of one or more words that is not a person's.
COLLECTIVE = re.compile(r"\b(?:collaboration|consortium|group|project|team)\b", re.I)
# Of a paper with thousands of authors.
MAX_AUTHORS_IN_METADATA = 100
RIS_LINE_BREAK = "\r\n"


def format_bibtex(paper: Paper) -> str:
    """Format an @misc record with the fields arXiv recommends: eprint, archivePrefix, primaryClass."""
    fields = {
        "title": f"{{{escape_tex(paper.display_title)}}}",
        "author": " and ".join(bibtex_name(name) for name in paper.authors),
        "year": str(publication_year(paper)),
        "eprint": paper.identifier,
        "archivePrefix": "arXiv" if paper.primary else "",
        "primaryClass": paper.primary,
        "doi": verbatim(paper.doi),
        "url": paper.arxiv_url,
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    return f"@misc{{{citation_key(paper)},\n" + ",\n".join(lines) + "\n}"


def bibtex_name(name: str) -> str:
    """Format a name so that BibTeX keeps its suffix, and a collaboration in one piece."""
    if COLLECTIVE.search(name) or re.search(r"\band\b", name, re.I):
        return f"{{{escape_tex(name)}}}"
    given, family, suffix = name_pieces(name)
    if suffix:
        return ", ".join(escape_tex(part) for part in (family, suffix, given) if part)
    return escape_tex(f"{family}, {given}" if "," in name else name)


def name_pieces(name: str) -> tuple[str, str, str]:
    """Split a name into given names, family name and suffix: "Ada Okafor, Jr."."""
    parts = [part.strip() for part in name.split(",") if part.strip()]
    suffix = parts.pop() if len(parts) > 1 and SUFFIX.fullmatch(parts[-1]) else ""
    if len(parts) > 1:
        return " ".join(parts[1:]), parts[0], suffix
    words = (parts or [""])[0].split()
    if len(words) > 2 and not suffix and SUFFIX.fullmatch(words[-1]):
        suffix = words.pop()
    return " ".join(words[:-1]), " ".join(words[-1:]), suffix


def escape_tex(text: str) -> str:
    return "".join(TEX_ESCAPES.get(char, char) for char in text)


def verbatim(address: str) -> str:
    """Percent-encode the characters of a DOI that end or break a BibTeX field."""
    return re.sub(
        r"[{}\\%\s]",
        lambda match: f"%{ord(match[0]):02X}" if ord(match[0]) < 128 else "",
        address,
    )


def publication_year(paper: Paper) -> int:
    return (paper.published_at or paper.announced_on).year


def citation_key(paper: Paper) -> str:
    """Join the first author's family name, the year and the first long word of the title, in ASCII."""
    _, family, _ = name_pieces((paper.authors or ["unknown"])[0])
    word = next(
        (w for w in re.findall(r"\w+", paper.display_title) if len(w) > 3), "paper"
    )
    author = ascii_letters(family) or "unknown"
    return f"{author}{publication_year(paper)}{ascii_letters(word) or 'paper'}"


def ascii_letters(text: str) -> str:
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", ascii_text.lower())


def format_ris(paper: Paper) -> str:
    """Format a record of the type "unpublished work", which reference managers read as a preprint."""
    published = paper.published_at or paper.announced_on
    rows = [
        ("TY", "UNPB"),
        ("TI", paper.display_title),
        *(("AU", ris_name(name)) for name in paper.authors),
        ("PY", str(published.year)),
        ("DA", f"{published:%Y/%m/%d}"),
        ("AB", paper.abstract),
        ("DO", paper.doi),
        ("UR", paper.arxiv_url),
        ("L1", paper.pdf_url),
        ("AN", f"arXiv:{paper.identifier}"),
        *(("KW", category) for category in paper.categories),
    ]
    lines = [f"{tag}  - {' '.join(value.split())}" for tag, value in rows if value]
    return RIS_LINE_BREAK.join([*lines, "ER  - ", ""])


def ris_name(name: str) -> str:
    """Format a name as "Okafor, Ada, Jr.", and a collaboration as it is."""
    if COLLECTIVE.search(name):
        return name
    given, family, suffix = name_pieces(name)
    return ", ".join(part for part in (family, given, suffix) if part)


def citation_tags(paper: Paper) -> list[tuple[str, str]]:
    """Return the Highwire Press tags that Google Scholar and the Zotero connector read."""
    published = paper.published_at or paper.announced_on
    rows = [
        ("citation_title", paper.display_title),
        *(
            ("citation_author", ris_name(n))
            for n in paper.authors[:MAX_AUTHORS_IN_METADATA]
        ),
        ("citation_publication_date", f"{published:%Y/%m/%d}"),
        ("citation_online_date", f"{paper.announced_on:%Y/%m/%d}"),
        ("citation_arxiv_id", paper.identifier),
        ("citation_doi", paper.doi),
        ("citation_pdf_url", paper.pdf_url),
        ("citation_public_url", paper.arxiv_url),
        ("citation_abstract", paper.abstract),
    ]
    return [(name, value) for name, value in rows if value]


def json_ld(paper: Paper, site_url: str) -> Markup:
    """Describe a paper by schema.org, escaped for a script element of the type application/ld+json."""
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "ScholarlyArticle",
        "headline": paper.display_title,
        "abstract": paper.abstract,
        "author": [
            {
                "@type": "Organization" if COLLECTIVE.search(name) else "Person",
                "name": name,
            }
            for name in paper.authors[:MAX_AUTHORS_IN_METADATA]
        ],
        "datePublished": f"{paper.published_at or paper.announced_on:%Y-%m-%d}",
        "identifier": f"arXiv:{paper.identifier}",
        "url": f"{site_url}{reverse('paper', args=[paper.identifier])}",
        "sameAs": [
            paper.arxiv_url,
            *([f"https://doi.org/{paper.doi}"] if paper.doi else []),
        ],
        "keywords": paper.categories,
    }
    return Markup(json.dumps(data, ensure_ascii=False).translate(JSON_ESCAPES))

"""Wording by which comments and abstracts say that a paper was withdrawn."""

import re

_NOUN = (
    r"(?:paper|article|submission|manuscript|preprint|e-?print|draft|thesis|work|note"
    r"|letter|report)"
)
_ADVERB = (
    r"(?:(?:now|currently|temporarily|permanently|administratively|being|hereby) ){0,2}"
)
# Withdrawn from a conference or a journal is not withdrawn from arXiv.
_FROM_ARXIV = r"\b(?! from\b(?! (?:the )?arxiv))"
_PASSIVE = (
    rf"(?:this|the|our|my) (?:{_NOUN}|version) (?:(?:has|have|had) (?:{_ADVERB})been|is|was)"
    rf" {_ADVERB}(?:withdrawn|retracted){_FROM_ARXIV}"
)
_ACTIVE = (
    rf"withdr(?:aw|ew|awing|awn) (?:this|the|our|my) (?:submitted |present )?{_NOUN}\b"
    r"|(?:decided?|want|wish|like|chose|choose|have|had) to withdraw it\b"
)
_ACTIVE_IN_ABSTRACT = rf"withdrawn (?:this|the|our|my) {_NOUN}\b"
_ELLIPTIC = rf"(?:administratively |temporarily )?(?:withdrawn|retracted){_FROM_ARXIV}"
_REMOVED = rf"(?:this|the) (?:{_NOUN}|version) (?:has been|was) removed by arxiv"
# "Paper withdrawn by the author" and "manuscript has been withdrawn", without an article.
_TELEGRAPHIC = (
    rf"{_NOUN} (?:(?:has |have )?(?:{_ADVERB})(?:been |is |was )?)?"
    rf"(?:withdrawn|retracted){_FROM_ARXIV}"
)
# At the beginning of a sentence: "15 pages. Withdrawn by the authors".
_SENTENCE_START = r"(?:^|[.;:!?\])] |[(\[])"
_REASON = r"(?=[.,;:!)\]]|$| (?:by|due|because|since|as|for|from|until)\b)"
_IN_COMMENTS = re.compile(
    rf"\b{_PASSIVE}|\b{_ACTIVE}|\b{_REMOVED}|\band has (?:now )?been withdrawn\b"
    rf"|{_SENTENCE_START}(?:{_ELLIPTIC}|withdrawal (?:of|due|for|by|because)\b)"
    rf"|{_SENTENCE_START}{_TELEGRAPHIC}{_REASON}|(?:, | - ){_ELLIPTIC}{_REASON}",
    re.IGNORECASE,
)
# Abstracts may be about withdrawing, so only their first words count, and the admin
# notes that arXiv adds.
_IN_ABSTRACT = re.compile(
    rf"(?:^|admin note: ){_PASSIVE}|\b{_REMOVED}"
    rf"|(?:^[(\[]?|admin note: )(?:{_ELLIPTIC}|{_TELEGRAPHIC}){_REASON}"
    rf"|^(?:the authors? (?:has|have)|(?:we|i) have) {_ACTIVE_IN_ABSTRACT}",
    re.IGNORECASE,
)


def says_withdrawn(comments: str, abstract: str) -> bool:
    comments, abstract = " ".join(comments.split()), " ".join(abstract.split())
    return bool(_IN_COMMENTS.search(comments) or _IN_ABSTRACT.search(abstract))

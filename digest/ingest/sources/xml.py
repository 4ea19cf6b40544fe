"""XML from other servers: parsed whole and safely, or not at all."""

import re
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from digest.ingest.sources.listing import SourceError

ATOM = "{http://www.w3.org/2005/Atom}"
ARXIV = "{http://arxiv.org/schemas/atom}"
OPENSEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"

# Pages of proxies may begin with a declaration or a comment.
_WEB_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf|\s|<\?.{,200}?\?>|<!--.{,2000}?-->)*+<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
# XML allows these neither raw nor as references. Some records of arXiv hold them, and
# one such character must not cost a whole day.
_CONTROL_CHARS = bytes(sorted(set(range(32)) - set(b"\t\n\r")))
_CONTROL_REFERENCES = re.compile(
    rb"&#(?:[0-8]|1[124-9]|2\d|3[01]|[xX]0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]));"
)


def refuse_web_page(document: bytes, expected: str) -> None:
    """Raise SourceError for a web page in the place of `expected`."""
    if _WEB_PAGE.match(document):
        raise SourceError(
            f"a web page, not {expected} (a captcha or an error?): fetch it again later"
        )


def parse_root(document: bytes) -> Element:
    """Return the root of a document without a DTD, or raise SourceError."""
    refuse_web_page(document, "XML")
    try:
        root: Element = fromstring(_drop_illegal_chars(document), forbid_dtd=True)
    except ParseError as error:
        raise SourceError(
            f"the XML is cut or broken at line {error.position[0]}: fetch it again"
        ) from error
    except (DefusedXmlException, ValueError, LookupError) as error:
        raise SourceError(
            f"the XML is not safe to read ({type(error).__name__}): "
            "give it as arXiv serves it"
        ) from error
    return root


def _drop_illegal_chars(document: bytes) -> bytes:
    """Drop illegal characters; in UTF-16 their bytes are parts of other characters."""
    if document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return document
    return _CONTROL_REFERENCES.sub(b"", document.translate(None, _CONTROL_CHARS))


def child_text(element: Element, path: str) -> str:
    """Return the stripped text at this path, or an empty string."""
    return (element.findtext(path) or "").strip()


def strip_namespaces(root: Element) -> Element:
    """Reduce tags to bare names: dialects differ in prefixes, or have none."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root

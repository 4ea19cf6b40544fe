"""XML from strangers: read whole and safely, or refused."""

import re
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from digest.ingest.sources.listing import Refused

# Behind a declaration or a comment too: pages of proxies are written with care.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf|\s|<\?.{,200}?\?>|<!--.{,2000}?-->)*+<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
# No XML may hold these, written as they are or as references; some records of arXiv's
# do, and one bad sign must not cost a whole day.
_SIGNS = bytes(sorted(set(range(32)) - set(b"\t\n\r")))
_REFERENCES = re.compile(
    rb"&#(?:[0-8]|1[124-9]|2\d|3[01]|[xX]0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]));"
)


def refuse_page(document: bytes, wanted: str) -> None:
    """Raise Refused for a page that people should look at, in the place of `wanted`."""
    if _PAGE.match(document):
        raise Refused(
            f"a web page, not {wanted} (a captcha or an error?): fetch it again later"
        )


def root(document: bytes) -> Element:
    """The root of a document without a DTD, or Refused: never half of it."""
    refuse_page(document, "XML")
    try:
        found: Element = fromstring(_legal(document), forbid_dtd=True)
    except ParseError as error:
        raise Refused(
            f"the XML is cut or broken at line {error.position[0]}: fetch it again"
        ) from error
    except (DefusedXmlException, ValueError, LookupError) as error:
        raise Refused(
            f"the XML is not safe to read ({type(error).__name__}): "
            "give it as arXiv serves it"
        ) from error
    return found


def _legal(document: bytes) -> bytes:
    """Without illegal signs; in UTF-16 their bytes are parts of others."""
    if document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return document
    return _REFERENCES.sub(b"", document.translate(None, _SIGNS))


def words(element: Element, name: str) -> str:
    """The text at this place, or nothing."""
    return (element.findtext(name) or "").strip()


def without_namespaces(found: Element) -> Element:
    """The same tree with bare names: dialects differ in prefixes, or have none."""
    for element in found.iter():
        element.tag = element.tag.rpartition("}")[2]
    return found

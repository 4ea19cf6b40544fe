"""XML from other servers: parsed whole and safely, or not at all."""

import re
from html.entities import html5
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
# XML allows control characters, noncharacters and surrogates neither raw nor as
# references. Some records of arXiv hold them, and one must not cost a whole day.
_CONTROL_CHARS = bytes(sorted(set(range(32)) - set(b"\t\n\r")))
_UTF8_NONCHARACTERS = re.compile(rb"\xef\xbf[\xbe\xbf]|\xed[\xa0-\xbf][\x80-\xbf]")
_REFERENCE = re.compile(
    rb"&(?:#(?:(\d{1,20})|[xX]([0-9a-fA-F]{1,16}))|([A-Za-z]\w{1,31}));"
)
_ENCODING = re.compile(rb"<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.-]{1,40})")
_XML_ENTITIES = frozenset({"amp", "lt", "gt", "quot", "apos"})


def refuse_web_page(document: bytes, expected: str) -> None:
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
    """Drop illegal characters; in UTF-16 their bytes are parts of other characters.

    Named entities of HTML, which XML does not know, become numeric ones.
    """
    if document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return document
    document = document.translate(None, _CONTROL_CHARS)
    encoding = _ENCODING.match(document.removeprefix(b"\xef\xbb\xbf"))
    if encoding is None or encoding[1].lower() in (b"utf-8", b"utf8"):
        document = _UTF8_NONCHARACTERS.sub(b"", document)
    return _REFERENCE.sub(_legal_reference, document)


def _legal_reference(match: re.Match[bytes]) -> bytes:
    decimal, hexadecimal, name = match.groups()
    if name:
        chars = html5.get(f"{name.decode()};", "")
        is_foreign = bool(chars) and name.decode() not in _XML_ENTITIES
        return b"".join(b"&#%d;" % ord(c) for c in chars) if is_foreign else match[0]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    is_legal = (
        code in (9, 10, 13)
        or 0x20 <= code < 0xD800
        or 0xE000 <= code < 0xFFFE
        or 0x10000 <= code <= 0x10FFFF
    )
    return match[0] if is_legal else b""


def child_text(element: Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def strip_namespaces(root: Element) -> Element:
    """Reduce tags to bare names: dialects differ in prefixes, or have none."""
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root

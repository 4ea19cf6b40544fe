"""XML from other servers: what is repaired, and what is refused."""

import pytest

from digest.ingest.sources import xml
from digest.ingest.sources.listing import SourceError


def text_of(document):
    return xml.child_text(xml.parse_root(document), "b")


@pytest.mark.parametrize(
    "document",
    [
        '<a><b>Österreich</b></a>'.encode(),
        '<?xml version="1.0" encoding="utf-8"?><a><b>Österreich</b></a>'.encode(),
        '<?xml version="1.0" encoding="iso-8859-1"?><a><b>Österreich</b></a>'.encode("latin-1"),
        '<?xml version="1.0" encoding="utf-16"?><a><b>Österreich</b></a>'.encode("utf-16"),
    ],
)  # fmt: skip
def test_declared_charset_is_used(document):
    assert text_of(document) == "Österreich"


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_utf_16_bytes_are_not_dropped_as_control_characters(order):
    written = "\ufeff<a><b>\u0108\u0801\u0e0f</b></a>"

    assert text_of(written.encode(order)) == "\u0108\u0801\u0e0f"


@pytest.mark.parametrize(
    "odd",
    [
        *("\x00", "\x08", "\x0b", "\x0c", "\x1b", "\x1f"),
        *("&#0;", "&#8;", "&#11;", "&#12;", "&#14;", "&#31;"),
        *("&#x0;", "&#x1F;", "&#X1f;", "&#x0008;", "&#xB;"),
        *("&#xFFFE;", "&#xffff;", "&#65534;", "&#xD800;", "&#57343;", "&#x110000;"),
        *("&#99999999999;", "\ufffe", "\uffff", "\ud800"),
    ],
)
def test_illegal_characters_and_references_are_dropped(odd):
    document = f"<a><b>one{odd}word</b></a>".encode("utf-8", "surrogatepass")

    assert text_of(document) == "oneword"


@pytest.mark.parametrize(
    "reference", ["&#9;", "&#10;", "&#13;", "&#x9;", "&#xA;", "&#x20;"]
)
def test_legal_references_stay(reference):
    assert text_of(f"<a><b>two{reference}words</b></a>".encode()).split() == [
        "two",
        "words",
    ]


def test_named_entities_of_html_are_decoded():
    assert text_of(b"<a><b>Erd&odblac;s &amp; R&eacute;nyi&nbsp;II</b></a>") == (
        "Erd\u0151s & R\xe9nyi\xa0II"
    )


def test_noncharacter_bytes_of_another_charset_stay():
    document = b'<?xml version="1.0" encoding="iso-8859-1"?><a><b>\xef\xbf\xbe</b></a>'

    assert text_of(document) == "\xef\xbf\xbe"


def test_child_text_is_stripped():
    assert text_of(b"<a><b>\n  two words\t</b></a>") == "two words"
    assert text_of(b"<a><b/></a>") == text_of(b"<a/>") == ""


ENTITY = '<!DOCTYPE a [<!ENTITY e {}>]><a><b>&e;</b></a>'  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [
        "<!DOCTYPE a><a><b>text</b></a>",
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a><b>text</b></a>',
        ENTITY.format('"text"'),
        ENTITY.format('SYSTEM "file:///etc/hostname"'),
        ENTITY.format('PUBLIC "x" "http://127.0.0.1:9/"'),
        '<!DOCTYPE a [<!ENTITY % e SYSTEM "file:///etc/hostname"> %e;]><a/>',
        '<!DOCTYPE a [<!ENTITY l "ha"><!ENTITY m "&l;&l;&l;">]><a><b>&m;</b></a>',
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
def test_documents_with_a_dtd_are_refused(document, charset):
    with pytest.raises(
        SourceError, match=r"not safe to read.+: give it as arXiv serves it"
    ):
        xml.parse_root(document.encode(charset))


@pytest.mark.parametrize("charset", ["shift_jis", "utf-7", "none-such", "idna"])
def test_unsafe_charset_is_refused(charset):
    document = f'<?xml version="1.0" encoding="{charset}"?><a><b>text</b></a>'

    with pytest.raises(SourceError):
        xml.parse_root(document.encode())


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (b"", 1),
        (b"no XML", 1),
        (b"<a>\n<b>", 2),
        (b"<a>\n<b>&e;</b></a>", 2),
        (b"<a/>\n<a/>", 2),
        (b"<a>\n\n<b>\xff</b></a>", 3),
    ],
)
def test_broken_document_is_refused_with_its_line(document, line):
    with pytest.raises(
        SourceError, match=f"cut or broken at line {line}: fetch it again"
    ):
        xml.parse_root(document)


@pytest.mark.parametrize(
    "document",
    [
        *(b"<!doctype html><p>", b"\n <HTML><p>", b"<html lang='en'>"),
        b"\xef\xbb\xbf<!DOCTYPE html><p>",
        b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "x">',
        b"<!-- saved by\n a proxy --><html><body>Please log in</body></html>",
    ],
)
def test_web_page_is_named_as_such(document):
    with pytest.raises(SourceError, match="a web page, not XML"):
        xml.parse_root(document)


def test_strip_namespaces_leaves_bare_names():
    root = xml.parse_root(
        b'<!-- x --><o:a xmlns:o="urn:o"><!-- y --><o:b>1</o:b></o:a>'
    )

    bare = xml.strip_namespaces(root)

    assert [element.tag for element in bare.iter()] == ["a", "b"]

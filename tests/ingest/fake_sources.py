"""Fake arXiv and Hugging Face on loopback: feeds, OAI-PMH, API and daily lists.

The structure is the recorded one, the papers are invented. A test sets the papers and
the faults of each endpoint; the URL settings lead to this server.
"""

import html
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from werkzeug import Request, Response

from digest.ingest.sources.listing import Listing
from tests.ingest import documents


def paper(number, day, primary="cs.LG", kind="new", version=1):
    """A paper announced on `day`, submitted on the morning of the day before."""
    before = day - timedelta(days=3 if day.weekday() == 0 else 1)
    return Listing(
        identifier=f"{day:%y%m}.{day.day:02}{number:03}",
        version=version,
        source="arxiv",
        title_raw=f"Invented Paper {number} of {day}",
        abstract_raw=f"We invent {number} & find that <all> is well.",
        authors=("Orla Quist", "Wu Zhen"),
        categories=(primary,),
        primary=primary,
        announce_type=kind,
        announced_on=day,
        published_at=datetime.combine(before, time(15), UTC),
    )


def batch(day, size=8, primary="cs.LG", first=1):
    return [paper(number, day, primary) for number in range(first, first + size)]


@dataclass
class Record:
    """One record of OAI-PMH: a paper and the day of its last change."""

    listing: Listing
    stamp: date
    deleted: bool = False


class Sources:
    """The papers of each endpoint; `faults[endpoint]` are answers before the true one."""

    def __init__(self, server, settings):
        self.feed_day, self.announced = date(2026, 11, 20), []
        self.records, self.page_size = [], 3
        self.papers, self.daily_lists = [], {}
        self.faults = defaultdict(list)
        self.requests = defaultdict(list)
        self.etag, self.feed_body = "", b""  # a whole feed instead of `announced`
        self.add_endpoints(server)
        settings.ARXIV_FEED_URL = server.url_for("/atom")
        settings.ARXIV_OAI_URL = server.url_for("/oai")
        settings.ARXIV_API_URL = server.url_for("/query")
        settings.HUGGINGFACE_URL = server.url_for("")
        settings.ARXIV_CATEGORIES = ["cs.AI", "cs.LG"]

    def add_endpoints(self, server):
        endpoints = {
            "feed": (re.compile("^/atom/"), self.answer_feed),
            "oai": ("/oai", self.answer_oai),
            "api": ("/query", self.answer_api),
            "daily": ("/api/daily_papers", self.answer_daily),
        }
        for name, (path, answer) in endpoints.items():
            handler = self.with_faults(name, answer)
            server.expect_request(path).respond_with_handler(handler)

    def with_faults(self, name, answer):
        def handle(request: Request) -> Response:
            self.requests[name].append(request)
            if self.faults[name]:
                fault = self.faults[name].pop(0)
                is_answer = isinstance(fault, Response)
                return fault if is_answer else fault(answer(request))
            return answer(request)

        return handle

    def answer_feed(self, request):
        if self.etag and request.headers.get("If-None-Match") == self.etag:
            return Response(status=304)
        body = self.feed_body or documents.write_atom_feed(
            self.announced, self.feed_day
        )
        return Response(body, headers={"ETag": self.etag} if self.etag else {})

    def answer_daily(self, request):
        return Response(self.daily_lists.get(request.args["date"], b"[]"))

    def answer_api(self, request):
        identifiers = request.args["id_list"].split(",")
        return Response(
            api_answer([p for p in self.papers if p.identifier in identifiers])
        )

    def answer_oai(self, request):
        """Answer a page of records by window and set; the token holds all of it."""
        token = request.args.get("resumptionToken", "")
        first, last, set_spec, cursor = (
            token.split("|")
            if token
            else [*(request.args.get(n, "") for n in ("from", "until", "set")), "0"]
        )
        start = int(cursor)
        end = start + self.page_size
        records = [r for r in self.records if is_selected(r, first, last, set_spec)]
        if not records:
            return Response(oai_error("noRecordsMatch"))
        next_token = f"{first}|{last}|{set_spec}|{end}" if end < len(records) else ""
        return Response(oai_page(records[start:end], next_token, start, len(records)))


def is_selected(record, first, last, set_spec):
    archive = set_spec.rpartition(":")[2]
    return (
        (not first or record.stamp.isoformat() >= first)
        and (not last or record.stamp.isoformat() <= last)
        and any(name.startswith(archive) for name in record.listing.categories)
    )


def oai_page(records, token, cursor, size):
    inside = "".join(map(oai_record, records))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
        "<responseDate>2026-11-20T05:00:00Z</responseDate>"
        '<request verb="ListRecords">https://oaipmh.arxiv.org/oai</request>'
        f"<ListRecords>{inside}"
        f'<resumptionToken cursor="{cursor}" completeListSize="{size}">{token}'
        "</resumptionToken></ListRecords></OAI-PMH>"
    )


def oai_record(record):
    listing = record.listing
    status = ' status="deleted"' if record.deleted else ""
    head = (
        f"<record><header{status}><identifier>oai:arXiv.org:{listing.identifier}"
        f"</identifier><datestamp>{record.stamp}</datestamp></header>"
    )
    if record.deleted:
        return f"{head}</record>"
    moment = listing.published_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    versions = "".join(
        f"<version version='v{n}'><date>{moment}</date><size>9kb</size></version>"
        for n in range(1, listing.version + 1)
    )
    text = {
        "title": listing.title_raw,
        "authors": " and ".join(listing.authors),
        "categories": " ".join(listing.categories),
        "comments": listing.comments,
        "abstract": listing.abstract_raw,
    }
    inside = "".join(
        f"<{name}>{html.escape(value)}</{name}>" for name, value in text.items()
    )
    return (
        f'{head}<metadata><arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/">'
        f"<id>{listing.identifier}</id><submitter>Orla Quist</submitter>{versions}{inside}"
        "</arXivRaw></metadata></record>"
    )


def oai_error(code):
    return (
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
        f'<error code="{code}">message</error></OAI-PMH>'
    )


def api_answer(listings):
    inside = "".join(
        f"<entry><id>http://arxiv.org/abs/{listing.identifier}v{listing.version}</id>"
        f"<title>{html.escape(listing.title_raw)}</title>"
        f"<summary>{html.escape(listing.abstract_raw)}</summary>"
        f"<published>{listing.published_at.isoformat()}</published>"
        f'<category term="{listing.primary}"/><author><name>Orla Quist</name></author>'
        "</entry>"
        for listing in listings
    )
    return (
        '<feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">'
        f"<opensearch:totalResults>{len(listings)}</opensearch:totalResults>"
        f"{inside}</feed>"
    )


# Faults: answers instead of the true listing, or changes of it.


def busy(status=503, after=None):
    headers = {} if after is None else {"Retry-After": str(after)}
    body = "<html><body><h1>Retry after 10 seconds</h1></body></html>"
    return Response(body, status, headers, content_type="text/html")


CAPTCHA = Response(
    "<!DOCTYPE html><html><body>Are you human?</body></html>", content_type="text/html"
)
BOMB = Response(
    '<?xml version="1.0"?><!DOCTYPE f [<!ENTITY a "aaaaaaaaaa">'
    '<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><feed>&b;</feed>'
)
EXTERNAL_ENTITY = Response(
    '<!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/hostname">]><feed>&x;</feed>'
)


def cut(answer):
    return Response(answer.get_data()[:-40])


def in_latin(answer):
    """Encode in Latin-1 what is declared as UTF-8."""
    text = answer.get_data().decode().replace("Invented", "Erfundenes für")
    return Response(text.encode("latin-1"))


def with_controls(answer):
    return Response(answer.get_data().replace(b"Invented", b"In\x0bvented&#x8;"))

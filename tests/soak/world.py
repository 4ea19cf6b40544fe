"""The outside world of a run: arXiv's calendar of papers, readers with their hours, and the mail provider."""

import logging
import random
import types
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from pytest_httpserver import HTTPServer

from digest.ingest.sources import arxiv_calendar
from digest.ingest.sources.listing import Measurement
from tests.chaos import sink
from tests.ingest import documents, fake_sources

ZONES = [
    *("Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles"),
    *("America/Denver", "America/Chicago", "America/New_York", "America/Halifax"),
    *("America/St_Johns", "America/Sao_Paulo", "Atlantic/Azores", "Europe/London"),
    *("Europe/Berlin", "Africa/Cairo", "Europe/Moscow", "Asia/Dubai", "Asia/Karachi"),
    *("Asia/Kolkata", "Asia/Kathmandu", "Asia/Dhaka", "Asia/Shanghai", "Asia/Tokyo"),
    *("Australia/Adelaide", "Pacific/Auckland", "Pacific/Chatham"),
]
CATEGORIES = ("cs.AI", "cs.CL", "cs.LG")
PAPERS_PER_DAY = 240
WORDS = [
    *("quantization", "attention", "retrieval", "diffusion", "alignment"),
    *("sparsity", "agents", "speech", "robots", "proteins", "graphs", "privacy"),
]
QUARTER = timedelta(minutes=15)
WEEKLY_WINDOW = timedelta(days=4)


def write_papers(day):
    """Invent the papers that arXiv announces on a day."""
    draw = random.Random(str(day))
    for number in range(1, PAPERS_PER_DAY + 1):
        first, second, third = draw.sample(WORDS, 3)
        listing = fake_sources.paper(number, day, draw.choice(CATEGORIES))
        yield replace(
            listing,
            title_raw=f"On {first} and {second}, part {number} of {day}",
            abstract_raw=f"We study {first} with {second}. It helps {third} in {number} cases.",
        )


class Sources:
    """arXiv and Hugging Face on loopback: each day's papers from the time of its announcement on."""

    def __init__(self, clock):
        self.clock, self.papers = clock, {}
        self.feed_delay = {}  # day -> how late its feed is
        self.server = HTTPServer("127.0.0.1", 0)
        self.answers = fake_sources.Sources(self.server, types.SimpleNamespace())
        self.answers.page_size = 1000
        self.faults = self.answers.faults

    def __enter__(self):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line a request
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop()

    def settings(self):
        return {
            "ARXIV_FEED_URL": self.server.url_for("/atom"),
            "ARXIV_OAI_URL": self.server.url_for("/oai"),
            "ARXIV_API_URL": self.server.url_for("/query"),
            "HUGGINGFACE_URL": self.server.url_for("").rstrip("/"),
            "ARXIV_CATEGORIES": ",".join(CATEGORIES),
        }

    def publish(self):
        """Publish what arXiv has announced by now."""
        now = self.clock.now()
        day = arxiv_calendar.today(now)
        if day in self.papers or day.weekday() > 4:
            return
        if now < arxiv_calendar.feed_rebuilt_at(day) + self.feed_delay.get(
            day, QUARTER
        ):
            return
        listings = self.papers[day] = list(write_papers(day))
        self.answers.feed_day, self.answers.announced = day, listings
        self.answers.papers += listings
        self.answers.records += [fake_sources.Record(each, day) for each in listings]
        listed_at = datetime.combine(day, time(3, 55), UTC)
        voted = [
            replace(
                each,
                measurements=(
                    Measurement("upvotes", 40 - number, listed_at),
                    Measurement("comments", number % 3, listed_at),
                ),
            )
            for number, each in enumerate(listings[:40])
        ]
        lists = self.answers.daily_lists
        lists[day.isoformat()] = documents.write_daily_list(voted, day)


# Readers


@dataclass(frozen=True)
class Reader:
    email: str
    zone: str
    hour: int
    frequency: str
    weekday: int


def invent_readers(number):
    """Readers of 24 time zones at all hours: of ten, eight daily, one on weekdays, one weekly."""
    frequencies = [*["daily"] * 8, "weekdays", "weekly"]
    return [
        Reader(
            f"reader{n}@university{n % 40}.example.org",  # refusals are judged by domain
            ZONES[n % len(ZONES)],
            n // len(ZONES) % 24,
            frequencies[n % 10],
            n // 10 % 7,
        )
        for n in range(number)
    ]


def store_readers(readers, confirmed_at):
    """Store readers with interests and a digest of that day, without which they would be welcomed."""
    from accounts.addresses import address_hash
    from accounts.models import Subscriber
    from digest.models import Digest, Edition, Follow
    from tests import make

    interests = [make.interest("keyword", word) for word in WORDS]
    interests += [make.interest("category", name) for name in CATEGORIES]
    rows = Subscriber.objects.bulk_create(
        [
            Subscriber(
                email=reader.email,
                address_hash=address_hash(reader.email),
                state="active",
                confirmed_at=confirmed_at,
                zone=reader.zone,
                hour=reader.hour,
                frequency=reader.frequency,
                weekday=reader.weekday,
            )
            for reader in readers
        ],
        batch_size=5000,
    )
    Follow.objects.bulk_create(
        [
            Follow(
                subscriber=row, interest=interests[(n + k) % len(interests)], weight=1
            )
            for n, row in enumerate(rows)
            for k in (0, 5, 7)
        ],
        batch_size=5000,
    )
    edition = Edition.objects.create(day=confirmed_at.date())
    batch = make.batch(make.frozen(edition, at=confirmed_at), [], at=confirmed_at)
    Digest.objects.bulk_create(
        [
            Digest(
                subscriber=row,
                edition=edition,
                batch=batch,
                created_at=confirmed_at,
                outcome=Digest.Outcome.ACCEPTED,
                outcome_at=confirmed_at,
            )
            for row in rows
        ],
        batch_size=5000,
    )


def expect_mails(readers, editions, end):
    """Return when each reader is due for each edition until `end`: {(email, day): time}.

    Written from the description in docs/sending.md, quarter hour by quarter hour, and not
    from the product's code. `editions` holds (day, time of freezing).
    """
    due = {}
    for reader in readers:
        for day, at in editions_due(reader, tuple(editions), end):
            due.setdefault((reader.email, day), at)
    return due


def editions_due(reader, editions, end):
    """Yield (day, time) for each edition that the reader's hour, frequency and weekday allow."""
    previous = datetime.min.replace(tzinfo=UTC)
    for at, weekday in hour_starts(reader.zone, reader.hour, editions[0][1], end):
        frozen = [row for row in editions if at - WEEKLY_WINDOW <= row[1] <= at]
        if reader.frequency == "weekly":
            allowed = frozen[-1:] if weekday == reader.weekday else []
        elif reader.frequency == "weekdays" and weekday > 4:
            allowed = []
        else:  # the first time that the hour begins after the freeze
            allowed = [row for row in frozen if row[1] > previous]
        yield from ((day, at) for day, _ in allowed)
        previous = at


@cache
def hour_starts(zone_name, hour, start, end):
    """The times at which this local hour begins, the first of two after daylight saving, with their weekdays."""
    zone, starts = ZoneInfo(zone_name), []
    at = start.replace(minute=start.minute // 15 * 15, second=0, microsecond=0)
    while at < end:
        local = at.astimezone(zone)
        if at >= start and (local.minute, local.hour, local.fold) == (0, hour, 0):
            starts.append((at, local.weekday()))
        at += QUARTER
    return starts


# The mail provider


class Provider(sink.Api):
    """SendGrid, which notes when it took each mail; faults are drawn anew for each digest."""

    max_delay_s = 0.4

    def __init__(self, seed, faults):
        super().__init__(seed, 0)
        self.log = sink.Log(seed, faults)
        self.deliveries, self.account_mails = [], []
        self.refusal = 0  # the status of every answer while it is not 0
        self.answers = Counter()

    def next_fault(self, mail):
        if self.refusal:
            return str(self.refusal)
        key = mail["custom_args"].get("digest")
        return self.log.next_fault(key) if key else ""

    def accept(self, mail):
        address = mail["personalizations"][0]["to"][0]["email"]
        key = mail["custom_args"].get("digest", "")
        row = (address, key, datetime.now(UTC))
        with self.lock:
            (self.deliveries if key else self.account_mails).append(
                row if key else (*row, mail)
            )
        return super().accept(mail)

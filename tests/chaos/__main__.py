"""Send a day to many readers while workers are killed, Redis is emptied and PostgreSQL crashes; count at the sink.

    python -m tests.chaos --readers 20000 --kills 20 --seed 1 [--over smtp] [--no-resend]

The last line is JSON. It ends with 1 where a mail was doubled or a reader lost. The
same seed gives every address the same fate and kills in the same order; what the
machine does between, no seed repeats.
"""

import argparse
import json
import os
import random
import sys
import time
from datetime import timedelta

from tests.chaos import ground, sink

QUIET_SECONDS = 240  # nothing moved for so long: give up


def main():
    options = read_options()
    with ground.laid() as place:
        os.environ |= {"DATABASE_URL": place.database, "REDIS_URL": place.redis}
        import tests.environment  # noqa: F401  Django is ready from here on
        from tests.processes import free_port

        stall = 4 if options.hurry else 22
        with sink.SINKS[options.over](options.seed, stall) as provider:
            port = free_port()
            provider.webhook = f"http://127.0.0.1:{port}/webhooks/sendgrid"
            place.settings = settings_of(options, provider)
            said = Chaos(options, place, provider).run(port)
    sys.stdout.write(f"{json.dumps(said)}\n")
    sys.exit(bool(said["doubled"] or said["lost"] or said["mismatch"]))


def read_options():
    parser = argparse.ArgumentParser(prog="tests.chaos")
    parser.add_argument("--readers", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--over", choices=sink.SINKS, default="sendgrid")
    parser.add_argument("--resend", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--hurry", action="store_true", help="leases of seconds")
    return parser.parse_args()


def settings_of(options, provider):
    own = {"DJANGO_SETTINGS_MODULE": "digest.settings", "PYTHONUNBUFFERED": "1"}
    own |= provider.settings()
    if options.hurry:
        own["CHAOS_HURRY"] = "1"
    if options.resend and options.over == "sendgrid":
        own["UNKNOWN_RESEND_AFTER"] = "0.3" if options.hurry else "0.5"
    return own


class Chaos:
    """One run: its world, its disasters, its sums."""

    def __init__(self, options, place, provider):
        self.options, self.place, self.provider = options, place, provider
        self.random = random.Random(options.seed)
        self.done = {"kills": 0, "redis_flushes": 0, "postgres_crashes": 0}

    def run(self, port):
        self.edition = make_world(self.options.readers)
        self.place.start_programs(port)
        begun = time.monotonic()
        for share, name, disaster in self.disasters():
            self.until_taken(share * self.options.readers)
            time.sleep(self.random.random() / 4)
            disaster()
            self.done[name] += 1
        self.until_quiet()
        return self.sums() | {"seconds": round(time.monotonic() - begun)}

    def disasters(self):
        """When in the sending, as a share of it, what happens: kills all along, the servers in the middle."""
        kills = self.options.kills
        planned = [
            ((n + 0.5) / (kills + 1), "kills", self.kill_one) for n in range(kills)
        ]
        planned.append((0.5, "redis_flushes", self.place.flush_redis))
        planned.append((0.6, "postgres_crashes", self.place.crash_postgres))
        return sorted(planned, key=lambda row: row[0])

    def kill_one(self):
        self.place.kill(self.random.choice(["worker1", "worker2"]))

    def until_taken(self, number):
        self.until(lambda: len(self.provider.log.taken) >= number)

    def until(self, true):
        """Wait until this is true, as long as anything moves."""
        moved, seen = time.monotonic(), -1
        while not true():
            taken = len(self.provider.log.taken)
            if taken != seen:
                moved, seen = time.monotonic(), taken
            if time.monotonic() - moved > QUIET_SECONDS:
                raise SystemExit(f"nothing moves at {taken}\n{self.place.said()}")
            time.sleep(0.02)

    def until_quiet(self):
        """Until nobody waits, all events are acted on, and what is to be sent again was."""
        self.until(self.is_quiet)

    def is_quiet(self):
        time.sleep(0.5)
        return self.provider.settled() and ground.patiently(self.rows_are_quiet)

    def rows_are_quiet(self):
        """Asked of one snapshot: a digest may go from unknown to waiting between two questions."""
        from django.db import connection, transaction

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return self.nobody_waits()

    def nobody_waits(self):
        from digest.mailer.tally import count_outcomes
        from digest.models import Digest, Event

        if Event.objects.filter(processed_at=None).exists():
            return False
        tally = count_outcomes(self.edition)
        will_be_sent = Digest.objects.filter(outcome="unknown", resent_at=None)
        resends = "UNKNOWN_RESEND_AFTER" in self.place.settings
        return not tally.waiting and not (resends and will_be_sent.exists())

    def sums(self):
        """Counted from the sink's own log, and held against what the rows say."""
        from accounts.models import Subscriber
        from digest.mailer.tally import count_outcomes
        from digest.models import Digest, SendingPause

        times = self.provider.log.times()
        everybody = set(Subscriber.objects.values_list("email", flat=True))
        told = outcomes(self.edition)
        missing = everybody - set(times)
        tally = count_outcomes(self.edition)
        return {
            "over": self.options.over,
            "seed": self.options.seed,
            "resend": "UNKNOWN_RESEND_AFTER" in self.place.settings,
            "readers": len(everybody),
            **self.done,
            "taken": sum(times.values()),
            "lost": sum(told.get(one) in (None, "accepted") for one in missing),
            "doubled": sum(n - 1 for n in times.values()),
            "notes": Digest.objects.filter(packed_picks=b"").count(),
            "unknown": tally.unknown,
            "failed": tally.failed,
            "unknown_but_taken": sum(
                told[one] == "unknown" for one in everybody & set(times)
            ),
            "mismatch": mismatch(tally, len(everybody), told, times),
            "pauses": SendingPause.objects.count(),
        }


def mismatch(tally, readers, told, times):
    """What the rows say that cannot be, in words."""
    wrong = []
    if not tally.is_balanced:
        wrong.append(f"not everybody is accounted for: {tally}")
    if tally.recipients != readers:
        wrong.append(f"{readers} readers, but {tally}")
    wrong += [f"{one} failed, but was taken" for one in times if told[one] == "failed"]
    return wrong


def outcomes(edition):
    """What the rows say of each address."""
    from digest.models import Digest

    rows = Digest.objects.filter(edition=edition)
    return dict(rows.values_list("subscriber__email", "outcome"))


def make_world(readers):
    """An edition that froze an hour ago, and readers whose hour has struck since."""
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from digest.ranking import rank_edition
    from tests import make

    with connection.cursor() as cursor:
        # What was committed must survive a crash: the tests' servers forgo that.
        cursor.execute("ALTER DATABASE postgres SET synchronous_commit = on")
    connection.close()
    call_command("migrate", verbosity=0)
    now = timezone.now()
    for number in range(40):
        make.paper(
            f"{WORDS[number % 8]} in {WORDS[number // 8]}", announced_on=now.date()
        )
    edition = rank_edition.rank_edition(now.date(), now)
    make_readers(readers, now)
    return make.frozen(edition, at=now - timedelta(hours=1, minutes=20))


WORDS = [
    "quantization",
    "attention",
    "retrieval",
    "diffusion",
    "alignment",
    "sparsity",
    "agents",
    "speech",
]


def make_readers(number, now):
    from accounts.addresses import address_hash
    from accounts.models import Subscriber
    from digest.models import Follow
    from tests import make

    requested_interests = [make.interest("keyword", word) for word in WORDS]
    requested_interests.append(make.interest("keyword", "nothing that any paper says"))
    emails = [f"reader{n}@example.org" for n in range(number)]
    readers = Subscriber.objects.bulk_create(
        Subscriber(
            email=email,
            address_hash=address_hash(email),
            state="active",
            confirmed_at=now,
            hour=now.hour,
            # One in nine gets a note without papers, all others get ten.
            fill_mode="followed_only"
            if n % len(requested_interests) == len(WORDS)
            else "followed_first",
            note_when_empty=True,
        )
        for n, email in enumerate(emails)
    )
    Follow.objects.bulk_create(
        Follow(
            subscriber=reader,
            interest=requested_interests[n % len(requested_interests)],
            weight=1,
        )
        for n, reader in enumerate(readers)
    )


if __name__ == "__main__":
    main()

"""Send a day's edition to many readers while workers are killed, Redis is flushed and PostgreSQL crashes.

    python -m tests.chaos --readers 20000 --kills 20 --seed 1 [--over smtp] [--no-resend]

The mails are counted at the sink. The last line is JSON; the exit status is 1 if a mail
was doubled or a reader lost. The same seed gives every address the same faults and the
same order of kills; scheduling by the machine differs between runs.
"""

import argparse
import json
import os
import random
import sys
import time
from datetime import timedelta

from tests.chaos import servers, sink

NO_PROGRESS_TIMEOUT_S = 240


def main():
    options = read_options()
    with servers.start_servers() as world:
        os.environ |= {"DATABASE_URL": world.database, "REDIS_URL": world.redis}
        import tests.environment  # noqa: F401  configures Django
        from tests.processes import free_port

        stall = 4 if options.hurry else 22
        with sink.SINKS[options.over](options.seed, stall) as provider:
            port = free_port()
            provider.webhook = f"http://127.0.0.1:{port}/webhooks/sendgrid"
            world.settings = settings_of(options, provider)
            result = Chaos(options, world, provider).run(port)
    sys.stdout.write(f"{json.dumps(result)}\n")
    sys.exit(bool(result["doubled"] or result["lost"] or result["mismatch"]))


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
    settings = {"DJANGO_SETTINGS_MODULE": "digest.settings", "PYTHONUNBUFFERED": "1"}
    settings |= provider.settings()
    if options.hurry:
        settings["CHAOS_HURRY"] = "1"
    if options.resend and options.over == "sendgrid":
        settings["UNKNOWN_RESEND_AFTER"] = "0.3" if options.hurry else "0.5"
    return settings


class Chaos:
    """One run: its servers, its faults, and the result."""

    def __init__(self, options, world, provider):
        self.options, self.world, self.provider = options, world, provider
        self.random = random.Random(options.seed)
        self.counts = {"kills": 0, "redis_flushes": 0, "postgres_crashes": 0}

    def run(self, port):
        self.edition = create_edition(self.options.readers)
        self.world.start_programs(port)
        started = time.monotonic()
        for share, name, fault in self.faults():
            self.wait_until_taken(share * self.options.readers)
            time.sleep(self.random.random() / 4)
            fault()
            self.counts[name] += 1
        self.wait_until(self.is_finished)
        return self.count_result() | {"seconds": round(time.monotonic() - started)}

    def faults(self):
        """Return the faults by the share of mails after which they happen."""
        kills = self.options.kills
        planned = [
            ((n + 0.5) / (kills + 1), "kills", self.kill_worker) for n in range(kills)
        ]
        planned.append((0.5, "redis_flushes", self.world.flush_redis))
        planned.append((0.6, "postgres_crashes", self.world.crash_postgres))
        return sorted(planned, key=lambda row: row[0])

    def kill_worker(self):
        self.world.kill(self.random.choice(["worker1", "worker2"]))

    def wait_until_taken(self, number):
        self.wait_until(lambda: len(self.provider.log.taken) >= number)

    def wait_until(self, condition):
        """Wait as long as mails are taken."""
        last_progress, last_taken = time.monotonic(), -1
        while not condition():
            taken = len(self.provider.log.taken)
            if taken != last_taken:
                last_progress, last_taken = time.monotonic(), taken
            if time.monotonic() - last_progress > NO_PROGRESS_TIMEOUT_S:
                raise SystemExit(f"no progress at {taken}\n{self.world.log_tail()}")
            time.sleep(0.02)

    def is_finished(self):
        """Whether every reader has an outcome, and all events and resends are processed."""
        time.sleep(0.5)
        return self.provider.is_settled() and servers.retry_query(self.is_settled)

    def is_settled(self):
        """Query one snapshot: a digest may change from unknown to pending between two queries."""
        from django.db import connection, transaction

        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return self.has_no_pending_rows()

    def has_no_pending_rows(self):
        from digest.mailer import resend
        from digest.mailer.tally import count_outcomes
        from digest.models import Event

        if Event.objects.filter(processed_at=None).exists():
            return False
        tally = count_outcomes(self.edition)
        to_resend = resend.unknown_without_events(timedelta(0))
        resends = "UNKNOWN_RESEND_AFTER" in self.world.settings
        return not tally.waiting and not (resends and to_resend.exists())

    def count_result(self):
        """Compare the sink's log with the rows."""
        from accounts.models import Subscriber
        from digest.mailer.tally import count_outcomes
        from digest.models import Digest, SendingPause

        taken = self.provider.log.count_by_address()
        addresses = set(Subscriber.objects.values_list("email", flat=True))
        rows = Digest.objects.filter(edition=self.edition)
        outcomes = dict(rows.values_list("subscriber__email", "outcome"))
        missing = addresses - set(taken)
        tally = count_outcomes(self.edition)
        return {
            "over": self.options.over,
            "seed": self.options.seed,
            "resend": "UNKNOWN_RESEND_AFTER" in self.world.settings,
            "readers": len(addresses),
            **self.counts,
            "taken": sum(taken.values()),
            "lost": sum(outcomes.get(each) in (None, "accepted") for each in missing),
            "doubled": sum(number - 1 for number in taken.values()),
            "notes": rows.filter(packed_picks=b"").count(),
            "unknown": tally.unknown,
            "failed": tally.failed,
            "unknown_but_taken": sum(
                outcomes[each] == "unknown" for each in addresses & set(taken)
            ),
            "mismatch": find_mismatches(tally, len(addresses), outcomes, taken),
            "pauses": SendingPause.objects.count(),
        }


def find_mismatches(tally, readers, outcomes, taken):
    """Describe contradictions between the rows and the sink."""
    mismatches = []
    if not tally.is_balanced:
        mismatches.append(f"not balanced: {tally}")
    if tally.recipients != readers:
        mismatches.append(f"{readers} readers, but {tally}")
    mismatches += [
        f"{address} failed, but was taken"
        for address in taken
        if outcomes[address] == "failed"
    ]
    return mismatches


def create_edition(readers):
    """Create an edition that froze 80 minutes ago, and readers who have become due since."""
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from digest.ranking import rank_edition
    from tests import make

    with connection.cursor() as cursor:
        # Commits must survive a crash; the servers of the other tests do without.
        cursor.execute("ALTER DATABASE postgres SET synchronous_commit = on")
    connection.close()
    call_command("migrate", verbosity=0)
    now = timezone.now()
    for number in range(40):
        make.paper(
            f"{WORDS[number % 8]} in {WORDS[number // 8]}", announced_on=now.date()
        )
    edition = rank_edition.rank_edition(now.date(), now)
    create_readers(readers, now)
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


def create_readers(number, now):
    """Create readers of ten papers each; one in nine gets a note without papers."""
    from accounts.addresses import address_hash
    from accounts.models import Subscriber
    from digest.models import Follow
    from tests import make

    interests = [make.interest("keyword", word) for word in WORDS]
    interests.append(make.interest("keyword", "nothing that any paper says"))
    emails = [f"reader{n}@example.org" for n in range(number)]
    readers = Subscriber.objects.bulk_create(
        Subscriber(
            email=email,
            address_hash=address_hash(email),
            state="active",
            confirmed_at=now,
            hour=now.hour,
            fill_mode="followed_only"
            if n % len(interests) == len(WORDS)
            else "followed_first",
            note_when_empty=True,
        )
        for n, email in enumerate(emails)
    )
    Follow.objects.bulk_create(
        Follow(subscriber=reader, interest=interests[n % len(interests)], weight=1)
        for n, reader in enumerate(readers)
    )


if __name__ == "__main__":
    main()

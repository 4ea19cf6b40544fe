"""`manage.py doctor`: what it finds, and what it says to do."""

import io
from datetime import timedelta
from types import SimpleNamespace

import dns.resolver
import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from digest import doctor
from digest.doctor import State, delivery, services
from digest.installation import INSTALLATION_HEADER, installation_id
from digest.models import Heartbeat, SendingPause
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def closed_site(settings):
    """A public URL at which nobody answers."""
    settings.SITE_URL = "http://127.0.0.1:9"


def states(check):
    return [finding.state for finding in doctor.run_check(check)]


def only(check):
    (finding,) = doctor.run_check(check)
    return finding


@pytest.mark.both
def test_every_finding_that_is_not_ok_names_a_fix(settings):
    settings.MAIL_TRANSPORT, settings.SENDGRID_API_KEY = "sendgrid", ""

    findings = list(doctor.diagnose())

    names = {finding.name for finding in findings}
    assert {
        "database",
        "broker",
        "beat",
        "clock",
        "holidays",
        "mail transport",
    } <= names
    bad = [f for f in findings if f.state in (State.WARNING, State.FAILED)]
    assert bad
    assert all(finding.fix for finding in bad)


def test_unreachable_database_ends_the_diagnosis(monkeypatch):
    def fail():
        yield doctor.failed("database", "Not reachable: no route", "Start it.")

    monkeypatch.setattr(services, "check_database", fail)

    findings = list(doctor.diagnose())

    assert findings[0].state == State.FAILED
    assert findings[-1].text == "Not run, because they need the database."


def test_check_that_raises_is_a_finding():
    def check_something():
        raise RuntimeError("odd")

    finding = only(check_something)

    assert finding.state == State.FAILED
    assert finding.name == "something"
    assert "RuntimeError: odd" in finding.text


def test_missing_migrations_are_found(monkeypatch):
    monkeypatch.setattr(
        services.MigrationExecutor, "migration_plan", lambda *_: [("one", False)]
    )

    assert only(services.check_database).fix == "Run `manage.py setup`."


def test_dead_and_running_processes(settings):
    assert states(services.check_processes) == [State.FAILED]

    now = timezone.now()
    for name in ("beat", *(f"worker {queue}" for queue in settings.WORKER_QUEUES)):
        Heartbeat.objects.record(name, now)

    assert states(services.check_processes) == [State.OK]


def test_unreachable_broker_is_found(monkeypatch):
    monkeypatch.setattr(services.app.conf, "broker_url", "redis://127.0.0.1:9/0")
    monkeypatch.setattr(
        services.app,
        "connection_for_write",
        lambda: services.app.connection("redis://127.0.0.1:9/0"),
    )

    assert only(services.check_broker).state == State.FAILED


def test_full_disk_is_found(monkeypatch):
    usage = SimpleNamespace(free=900_000_000, total=100_000_000_000)
    monkeypatch.setattr(services.shutil, "disk_usage", lambda _: usage)

    assert set(states(services.check_disk)) == {State.WARNING}


@pytest.mark.parametrize(
    ("days", "state"), [(None, State.WARNING), (3, State.WARNING), (1, State.OK)]
)
def test_missing_backup_is_found(days, state):
    if days is not None:
        Heartbeat.objects.record("backup", timezone.now() - timedelta(days=days))

    assert only(services.check_backup).state == state


def test_wrong_clock_is_found(monkeypatch):
    wrong = timezone.now() + timedelta(minutes=3)
    monkeypatch.setattr(services.timezone, "now", lambda: wrong)

    finding = only(services.check_clock)

    assert finding.state == State.FAILED
    assert finding.text.startswith("1") or "180" in finding.text


def test_selected_category_without_papers_is_found(settings):
    assert only(services.check_categories).state == State.UNKNOWN
    make.paper(announced_on=timezone.now().date(), categories=["cs.LG", "math.ST"])
    settings.ARXIV_CATEGORIES = ["cs.LG", "cs.CL", "math"]

    assert only(services.check_categories).text == "No paper in two weeks: cs.CL."

    settings.ARXIV_CATEGORIES = ["cs.LG", "math"]
    assert only(services.check_categories).state == State.OK


@pytest.mark.parametrize(("days", "state"), [(29, State.WARNING), (31, State.OK)])
def test_unknown_holidays_are_found(monkeypatch, days, state):
    until = timezone.now().date() + timedelta(days=days)
    monkeypatch.setattr(services.arxiv_calendar, "holidays_known_until", lambda: until)

    assert only(services.check_holidays).state == state


def test_pause_in_force_is_found():
    SendingPause.objects.trigger("restored", timezone.now(), is_automatic=False)

    findings = {finding.name: finding for finding in services.check_alarms()}

    assert "restored" in findings["sending"].text


# The public URL and the webhook


def test_site_that_answers_with_our_identifier_is_ok(live_server, settings):
    settings.SITE_URL = live_server.url

    assert only(delivery.check_site_url).state == State.OK


@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [
        (200, {}, State.FAILED),
        (200, {INSTALLATION_HEADER: "another"}, State.FAILED),
        (301, {"Location": "https://elsewhere.example/"}, State.FAILED),
    ],
)
def test_site_of_another_program_is_found(httpserver, settings, status, headers, state):
    settings.SITE_URL = httpserver.url_for("").rstrip("/")
    httpserver.expect_request("/alive").respond_with_data(
        "alive", status=status, headers=headers
    )

    assert only(delivery.check_site_url).state == state


def test_site_that_is_not_reachable_is_unknown(settings):
    settings.SITE_URL = "http://127.0.0.1:9"

    assert only(delivery.check_site_url).state == State.UNKNOWN


@pytest.mark.parametrize(
    ("status", "state"),
    [(403, State.UNKNOWN), (503, State.FAILED), (404, State.FAILED)],
)
def test_webhook_must_refuse_unsigned_posts(httpserver, settings, status, state):
    settings.SITE_URL = httpserver.url_for("").rstrip("/")
    settings.MAIL_TRANSPORT = "sendgrid"
    httpserver.expect_request("/webhooks/sendgrid").respond_with_data(status=status)

    assert only(delivery.check_webhook).state == state


def test_mail_without_events_is_found(ada):
    batch = make.batch(make.edition(), [ada])
    sent_at = timezone.now() - timedelta(hours=3)
    make.digest(batch, ada, outcome="accepted", outcome_at=sent_at)

    finding = only(delivery.check_events)

    assert finding.state == State.FAILED
    assert "Enable the event webhook" in finding.fix


# The mail transport


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, '{"scopes": ["mail.send"]}', State.OK),
        (200, '{"scopes": ["stats.read"]}', State.FAILED),
        (401, "{}", State.FAILED),
    ],
)
def test_sendgrid_key_is_tried(httpserver, settings, status, body, state):
    settings.MAIL_TRANSPORT, settings.SENDGRID_API_KEY = "sendgrid", "SG.invented"
    settings.SENDGRID_API_URL = httpserver.url_for("").rstrip("/")
    httpserver.expect_request(
        "/v3/scopes", headers={"Authorization": "Bearer SG.invented"}
    ).respond_with_data(body, status=status)

    finding = only(delivery.check_transport)

    assert finding.state == state
    assert "SG.invented" not in finding.text


def test_smtp_server_that_refuses_connections_is_found(settings):
    settings.MAIL_TRANSPORT, settings.SMTP_URL = "smtp", "smtp://u:secret@127.0.0.1:9"

    finding = only(delivery.check_transport)

    assert finding.state == State.FAILED
    assert "secret" not in finding.text


# DNS

GOOD_RECORDS = {
    (".", "NS"): ["a.root-servers.net."],
    ("_dmarc.papers.example", "TXT"): ["v=DMARC1; p=none"],
    ("papers.example", "TXT"): ["v=spf1 a:mail.papers.example ~all", "other"],
    ("papers.example", "MX"): ["10 mail.papers.example."],
    ("mail.papers.example", "A"): ["192.0.2.1"],
    ("mail.papers.example.", "A"): ["192.0.2.1"],
    ("1.2.0.192.in-addr.arpa.", "PTR"): ["mail.papers.example."],
    ("s1._domainkey.papers.example", "TXT"): ["k=rsa; p=x"],
    ("s2._domainkey.papers.example", "TXT"): ["k=rsa; p=x"],
}


@pytest.fixture
def records(monkeypatch, settings):
    """The records of the sender's domain, which a test may change."""
    records = dict(GOOD_RECORDS)
    monkeypatch.setattr(
        delivery, "look_up", lambda name, kind: records.get((name, kind), [])
    )
    settings.MAIL_FROM = "Paper Round <round@papers.example>"
    settings.BOUNCE_ADDRESS = "bounces@papers.example"
    settings.MAIL_TRANSPORT = "smtp"
    settings.SMTP_URL = "smtp://mail.papers.example:587"
    return records


def dns_states():
    return {f.name: f.state for f in doctor.run_check(delivery.check_sender_domain)}


def test_complete_dns_is_ok(records, settings):
    over_smtp = dns_states()
    settings.MAIL_TRANSPORT = "sendgrid"
    over_sendgrid = dns_states()

    ok, unknown = State.OK, State.UNKNOWN
    assert over_smtp == {
        "DMARC": ok,
        "SPF": ok,
        "DKIM": unknown,
        "PTR": ok,
        "bounces": ok,
    }
    assert over_sendgrid == {"DMARC": ok, "DKIM": ok, "bounces": ok}


@pytest.mark.parametrize(
    ("record", "name", "state"),
    [
        (("_dmarc.papers.example", "TXT"), "DMARC", State.FAILED),
        (("papers.example", "TXT"), "SPF", State.FAILED),
        (("1.2.0.192.in-addr.arpa.", "PTR"), "PTR", State.WARNING),
        (("papers.example", "MX"), "bounces", State.FAILED),
        ((".", "NS"), "sender's DNS", State.UNKNOWN),
    ],
)
def test_missing_record_is_found(records, record, name, state):
    del records[record]

    assert dns_states()[name] == state


def test_missing_dkim_record_is_found(records, settings):
    settings.MAIL_TRANSPORT = "sendgrid"
    del records["s2._domainkey.papers.example", "TXT"]

    assert dns_states()["DKIM"] == State.FAILED


def test_resolver_that_does_not_answer_is_said_to_be_unreachable(monkeypatch, settings):
    def fail(*_, **__):
        raise dns.resolver.NoNameservers

    monkeypatch.setattr(dns.resolver, "resolve", fail)
    settings.MAIL_FROM = "round@papers.example"

    finding = only(delivery.check_sender_domain)

    assert finding.state == State.UNKNOWN
    assert "not reachable from here" in finding.text


# Command and page


def test_command_fails_if_a_check_failed(mailoutbox):
    output = io.StringIO()

    with pytest.raises(SystemExit) as stop:
        call_command("doctor", mail_to="you@example.org", stdout=output)

    assert stop.value.code == 1
    assert "Beat has enqueued nothing" in output.getvalue()
    assert "→ Start it" in output.getvalue()
    assert mailoutbox[0].to == ["you@example.org"]


def test_command_succeeds_if_nothing_failed(monkeypatch):
    monkeypatch.setattr(doctor, "diagnose", lambda: iter([doctor.ok("all", "Good.")]))

    call_command("doctor", stdout=io.StringIO())


def test_page_shows_the_findings_to_operators(admin_client, client, django_user_model):
    url = reverse("admin:checks")
    assert "Beat has enqueued" not in admin_client.get(url).content.decode()

    page = admin_client.post(url).content.decode()

    assert (
        "Beat has enqueued nothing since the installation: it or the broker is down."
        in page
    )
    assert installation_id() not in page
    editor = django_user_model.objects.create_user("e@example.org", "x", is_staff=True)
    client.force_login(editor)
    assert client.get(url).status_code == 403

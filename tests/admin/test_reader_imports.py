"""Import of readers from CSV, and their export."""

import csv
import io

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from accounts import reader_import, tasks
from accounts.models import AccountMail, ReaderImport, Subscriber, Suppression, User
from tests import make

SOURCE = "Paper list at the workshop in Oslo, 14 May 2026"
ADD = "admin:accounts_readerimport_add"


@pytest.fixture
def operator(client, db):
    return make.log_in_staff(client, "Operators", "operator@example.org")


def create_job(*lines, **fields):
    content = "\n".join(lines)
    fields = {"sends_confirmation": False, "total": len(lines), **fields}
    return ReaderImport.objects.create(
        file_name="list.csv", content=content, consent_source=SOURCE, **fields
    )


def check_and_import(job):
    tasks.import_readers(job.pk)
    assert reader_import.start_import(job)
    tasks.import_readers(job.pk)
    job.refresh_from_db()


def outcomes(job):
    return {row.number: row.outcome for row in reader_import.iterate_results(job)}


def addresses(text):
    return [line.email for line in reader_import.read_lines(text)]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"]
)
def test_files_are_read_in_each_encoding(encoding):
    content = "name;email\r\nZoë;zoe@example.org\r\n".encode(encoding)

    text = reader_import.decode_file(content)

    assert "Zoë" in text
    assert addresses(text) == ["zoe@example.org"]


@pytest.mark.parametrize("content", [b"PK\x03\x04\0\0", b"\xff\xfea\0b"])
def test_files_that_are_not_text_are_refused(content):
    with pytest.raises(ValidationError, match="xport it"):
        reader_import.decode_file(content)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_address_is_read_from_its_column(separator):
    rows = ["Name,E-Mail,City", '"Okafor, Ada",ada@example.org,Oslo']
    text = "\n".join(
        separator.join(next(csv.reader([row]))) if separator != "," else row
        for row in rows
    )

    assert addresses(text) == ["ada@example.org"]


def test_a_file_without_header_loses_no_line():
    assert addresses("Ada,ada@example.org\nBob,bob@example.org") == [
        "ada@example.org",
        "bob@example.org",
    ]


def test_an_open_quotation_mark_spoils_only_its_line():
    lines = list(
        reader_import.read_lines(
            'email,name\na@example.org,"open\nb@example.org,"closed"\n\nno address'
        )
    )

    assert [(line.number, line.email) for line in lines] == [
        (2, ""),
        (3, "b@example.org"),
        (5, ""),
    ]
    assert lines[0].error == "A quotation mark is missing or misplaced."


@pytest.mark.django_db
def test_each_line_is_reported_and_only_permitted_readers_become_active():
    make.subscriber("reader@example.org", consent_how="pressed")
    make.subscriber("left@example.org").unsubscribe(make.NOW)
    make.subscriber("pending@example.org", state="pending", confirmed_at=None)
    Suppression.add("blocked@example.org", "complaint")
    job = create_job(
        *("email", "New@Example.org", "reader@example.org", "left@example.org"),
        *("blocked@example.org", "pending@example.org", "new@example.org", "a@b@c"),
    )

    tasks.import_readers(job.pk)
    checked = outcomes(job)
    assert Subscriber.objects.count() == 3
    assert reader_import.start_import(job)
    tasks.import_readers(job.pk)

    assert checked == outcomes(job)
    assert list(checked.values()) == [
        *("new", "reader", "left", "suppressed", "unconfirmed", "duplicate"),
        "invalid",
    ]
    states = dict(Subscriber.objects.values_list("email", "state"))
    assert states == {
        "new@example.org": "active",
        "reader@example.org": "active",
        "pending@example.org": "active",
        "left@example.org": "left",
    }
    new = Subscriber.objects.get(email="new@example.org")
    assert new.may_be_mailed(make.NOW)
    assert new.consent_text == SOURCE
    assert new.consent_how == f"imported by an operator (import {job.pk})"
    assert new.confirmed_at
    assert Subscriber.objects.get(email="reader@example.org").consent_how == "pressed"
    job.refresh_from_db()
    assert (job.state, job.content) == ("done", "")


@pytest.mark.django_db
def test_with_confirmation_readers_get_a_mail_and_are_not_active():
    Suppression.add("blocked@example.org", "bounce")
    job = create_job("new@example.org", "blocked@example.org", sends_confirmation=True)

    check_and_import(job)

    assert not Subscriber.objects.exists()
    mail = AccountMail.objects.get()
    assert (mail.kind, mail.email) == ("sign_up", "new@example.org")


@pytest.mark.django_db
@pytest.mark.both
@pytest.mark.parametrize("sends_confirmation", [False, True])
def test_an_import_continues_after_its_worker_died(monkeypatch, sends_confirmation):
    monkeypatch.setattr(reader_import, "CHUNK_LINES", 3)
    emails = [f"r{number}@example.org" for number in range(10)]
    job = create_job(*emails, emails[0], sends_confirmation=sends_confirmation)
    tasks.import_readers(job.pk)
    reader_import.start_import(job)
    import_lines = reader_import.import_lines

    def die_in_the_third_chunk(job, lines, *arguments):
        import_lines(job, lines, *arguments)
        if lines[0].email == "r6@example.org":
            raise SystemExit

    monkeypatch.setattr(reader_import, "import_lines", die_in_the_third_chunk)
    with pytest.raises(SystemExit):
        tasks.import_readers(job.pk)
    rows = AccountMail if sends_confirmation else Subscriber
    assert rows.objects.count() == 6
    job.refresh_from_db()
    assert job.position == 6
    monkeypatch.setattr(reader_import, "import_lines", import_lines)

    tasks.continue_imports()
    assert rows.objects.count() == 6  # another worker may still be at work
    ReaderImport.objects.update(progress_at=make.NOW)
    tasks.continue_imports()
    tasks.import_readers(job.pk)

    assert sorted(rows.objects.values_list("email", flat=True)) == sorted(emails)
    assert list(outcomes(job).values()) == ["new"] * 10 + ["duplicate"]
    job.refresh_from_db()
    assert job.state == "done"


@pytest.mark.django_db
def test_a_second_worker_repeats_no_chunk():
    job = create_job("a@example.org", state="importing")
    stale = ReaderImport.objects.get(pk=job.pk)
    tasks.import_readers(job.pk)
    line = reader_import.Line(1, "b@example.org", "")

    assert not reader_import.work_on_chunk(stale, 0, [line], set(), make.NOW)
    assert list(Subscriber.objects.values_list("email", flat=True)) == ["a@example.org"]


@pytest.mark.django_db
def test_files_that_nobody_imports_are_erased_after_a_week():
    job = create_job("a@example.org", state="checked", progress_at=make.NOW)
    fresh = create_job("a@example.org", state="checked")

    tasks.purge_expired()

    job.refresh_from_db()
    fresh.refresh_from_db()
    assert (job.state, job.content) == ("cancelled", "")
    assert (fresh.state, fresh.content) == ("checked", "a@example.org")


def upload(client, content=b"email\na@example.org\nwrong\n", **fields):
    file = SimpleUploadedFile("list.csv", content)
    data = {"file": file, "consent_source": SOURCE, **fields}
    return client.post(reverse(ADD), data)


def test_operators_upload_check_and_import(
    operator, eager, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        upload(operator)
    job = ReaderImport.objects.get()
    page = operator.get(reverse("admin:accounts_readerimport_change", args=[job.pk]))
    decide = reverse("admin:accounts_readerimport_decide", args=[job.pk])
    with django_capture_on_commit_callbacks(execute=True):
        operator.post(decide, {"start": ""})
    again = operator.post(decide, {"start": ""}, follow=True)
    report = operator.get(reverse("admin:accounts_readerimport_report", args=[job.pk]))

    assert "Import 1 reader<" in page.text
    assert "must have an @-sign" in page.text
    assert Subscriber.objects.get().email == "a@example.org"
    assert "1 reader imported." in again.text
    assert "started or cancelled before" in again.text
    lines = report.getvalue().decode("utf-8-sig").splitlines()
    assert lines[:2] == ["line,result,reason", "2,new,"]
    messages = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
    assert messages[0] == "Added."
    assert messages[1].endswith(f"without confirmation mails; consent: {SOURCE}.")
    assert len(messages) == 2


@pytest.mark.parametrize(
    ("content", "fields", "error"),
    [
        (b"\n\n", {}, "The file is empty."),
        (b"a\0b", {}, "not a text file"),
        (b"a@example.org\n" * 100_002, {}, "The file has 100,002 lines."),
        (b"a@example.org\n", {"consent_source": " "}, "This field is required."),
    ],
    ids=["empty", "binary", "long", "consent"],
)
def test_wrong_uploads_are_refused_with_a_reason(operator, content, fields, error):
    page = upload(operator, content, **fields)

    assert error in page.text
    assert not ReaderImport.objects.exists()


def test_large_files_pass_the_body_limit_on_this_page_only(operator):
    content = b"a@example.org," + b"x" * 3_000_000

    assert upload(operator, content).status_code == 302
    other = operator.post(reverse("admin:index"), {"file": io.BytesIO(content)})
    assert other.status_code == 413


def test_editors_neither_import_nor_export(client, db):
    call_command("setup", verbosity=0)
    user = User.objects.create_user("editor@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name="Editors"))
    client.force_login(user)
    job = create_job("a@example.org", state="checked")
    decide = reverse("admin:accounts_readerimport_decide", args=[job.pk])
    export = reverse("admin:accounts_subscriber_export")

    assert upload(client).status_code == 403
    assert client.post(decide, {"start": ""}).status_code == 403
    assert client.post(export).status_code == 403


def test_export_neutralises_formulas_and_is_imported_again(operator):
    make.subscriber("=cmd@example.org", consent_text="+1")
    make.subscriber("ada@example.org")
    Suppression.add("ada@example.org", "manual")

    response = operator.post(reverse("admin:accounts_subscriber_export"))

    assert response.streaming
    text = response.getvalue().decode("utf-8-sig")
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["email"], first["consent_text"]) == ("'=cmd@example.org", "'+1")
    assert (first["suppressed"], second["suppressed"]) == ("False", "True")
    assert addresses(text) == ["=cmd@example.org", "ada@example.org"]
    assert LogEntry.objects.get().change_message == "Exported 2 readers as CSV."

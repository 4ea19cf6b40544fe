"""The reading list: who may add, who may see, notes, done, export and feed."""

import csv
import io
import json

import feedparser
import pytest
from django.utils import timezone
from pybtex.database import parse_string

from accounts.models import AccessKey
from digest.models import Paper, SavedPaper
from digest.site import saved_papers
from tests import make
from tests.site.conftest import HOSTILE, body

SAME_SITE = {"HTTP_SEC_FETCH_SITE": "same-origin"}


@pytest.fixture
def list_key(ada):
    return AccessKey.issue(ada, AccessKey.Kind.READING_LIST, timezone.now()).key


def save(reader, paper, **fields):
    return reader.saved_papers.create(paper=paper, saved_at=make.NOW, **fields)


def test_a_link_of_a_mail_asks_and_then_saves(client, ada, digest):
    url = f"/d/{digest.key}/2/save"

    asked = body(client.get(url))
    before = ada.saved_papers.count()
    answers = [body(client.post(url)) for _ in range(2)]

    assert "Save to your reading list?" in asked
    assert before == 0
    paper = digest.edition.candidates.get(pk=digest.picks[1].candidate).paper
    assert [row.paper for row in ada.saved_papers.all()] == [paper]
    assert "Saved to your reading list." in answers[1]
    assert "/saved/" not in "".join([asked, *answers])
    assert f"/unsubscribe/{ada.unsubscribe_key}/preferences-link" in answers[0]


def test_the_site_saves_to_the_list_that_was_opened_in_the_browser(
    client, ada, edition, list_key
):
    paper = edition.candidates.first().paper
    url = f"/papers/{paper.identifier}/save"

    unknown = body(client.post(url, **SAME_SITE))
    client.get(f"/saved/{list_key}")
    saved = body(client.post(url, **SAME_SITE))

    assert "open your reading list once in this browser" in unknown
    assert "Saved to your reading list." in saved
    assert ada.saved_papers.get().paper == paper
    cookie = client.cookies["reading_list"]
    assert (cookie["samesite"], bool(cookie["httponly"])) == ("Lax", True)


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {"HTTP_ORIGIN": "https://evil.example"},
        {"HTTP_REFERER": "https://evil.example/testserver"},
        {},
    ],
)
def test_a_form_of_another_site_saves_nothing(client, ada, edition, list_key, headers):
    client.get(f"/saved/{list_key}")
    paper = edition.candidates.first().paper

    client.post(f"/papers/{paper.identifier}/save", **headers)

    assert not ada.saved_papers.exists()


def test_papers_get_notes_and_are_done_or_removed(client, ada, list_key):
    url = f"/saved/{list_key}"
    first, second = (save(ada, make.paper(title)) for title in ("Storks", "Terns"))

    client.post(url, {"saved": first.pk, "action": "note", "note": f" {HOSTILE} "})
    client.post(url, {"saved": second.pk, "action": "done"})
    page, done = body(client.get(url)), body(client.get(f"{url}?show=done"))
    client.post(url, {"saved": second.pk, "action": "open"})
    client.post(url, {"saved": first.pk, "action": "remove"})

    assert "Storks" in page
    assert "Terns" not in page
    assert "&lt;img src=x" in page
    assert "<img" not in page
    assert "To read (1)" in page
    assert "Done (1)" in page
    assert "Terns" in done
    assert [row.paper.title for row in ada.saved_papers.all()] == ["Terns"]
    assert not ada.saved_papers.get().is_done


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30, "\u00b2"])
def test_an_invalid_form_changes_nothing(client, ada, list_key, number):
    row = save(ada, make.paper(), note="kept")

    for action in ("note", "done", "remove", ""):
        client.post(f"/saved/{list_key}", {"saved": number, "action": action})

    assert list(SavedPaper.objects.values_list("pk", "note")) == [(row.pk, "kept")]


def test_a_key_opens_its_own_list_only(client, ada, list_key):
    dora = make.subscriber("dora@example.org")
    hers = save(dora, make.paper("Secret nests"))

    page = body(client.get(f"/saved/{list_key}"))
    client.post(f"/saved/{list_key}", {"saved": hers.pk, "action": "remove"})

    assert "Secret nests" not in page
    assert dora.saved_papers.exists()


@pytest.mark.parametrize("path", ["", "/feed", "/export.csv", "/export.bib"])
def test_other_keys_open_no_list(client, ada, key, digest, list_key, path):
    feed = AccessKey.issue(ada, AccessKey.Kind.FEED, timezone.now()).key
    for wrong in (key, digest.key, ada.unsubscribe_key, feed, "unknown"):
        assert client.get(f"/saved/{wrong}{path}").status_code == 404
    response = client.get(f"/saved/{list_key}{path}")
    assert response.status_code == 200
    assert response["Cache-Control"] == "private, no-store"
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert client.get(f"/private-feeds/{list_key}").status_code == 404


def test_preferences_lead_to_the_list_and_create_its_key_once(client, ada, key):
    form_page = client.get(f"/preferences/{key}/saved")
    assert form_page["Location"] == f"/preferences/{key}/papers"
    assert not ada.access_keys.exists()

    targets = {client.post(f"/preferences/{key}/saved")["Location"] for _ in range(2)}

    assert targets == {f"/saved/{ada.access_keys.get().key}"}


def test_a_full_list_says_so(client, ada, digest, monkeypatch):
    monkeypatch.setattr(SavedPaper, "MAX_PER_READER", 1)
    save(ada, make.paper())

    assert "Not saved" in body(client.post(f"/d/{digest.key}/1/save"))
    assert ada.saved_papers.count() == 1


@pytest.fixture
def saved(ada):
    return [
        save(ada, make.paper("Storks & {sets}", doi="10.1/x"), note="=1+1"),
        save(ada, make.paper("Storks & {sets}", authors=["ATLAS Collaboration"])),
        save(ada, make.paper("=HYPERLINK(0)", authors=["Ola Berg, Jr."]), is_done=True),
    ]


def test_bibtex_has_a_key_of_its_own_for_every_paper(client, saved, list_key):
    text = body(client.get(f"/saved/{list_key}/export.bib"))
    twin = saved_papers.write_bibtex([saved[0], saved[0]])

    assert len(parse_string(text, "bibtex").entries) == 3
    assert len(parse_string(twin, "bibtex").entries) == 2


def test_ris_has_every_paper(client, saved, list_key):
    response = client.get(f"/saved/{list_key}/export.ris")

    assert response["Content-Disposition"] == 'attachment; filename="reading-list.ris"'
    assert body(response).count("TY  - ") == body(response).count("ER  - ") == 3


def test_csl_json_has_names_dates_and_notes(client, saved, list_key):
    items = json.loads(body(client.get(f"/saved/{list_key}/export.json")))

    assert [item["title"] for item in items] == [row.paper.title for row in saved]
    assert items[0]["author"][0] == {"family": "Okafor", "given": "Ada"}
    assert items[0]["issued"] == {"date-parts": [[2026, 11, 20]]}
    assert items[0]["note"] == "=1+1"
    assert items[2]["author"][0]["suffix"] == "Jr."


@pytest.mark.parametrize("style", ["json", "csv", "bib", "ris"])
def test_exports_have_the_titles_that_editors_corrected(client, saved, list_key, style):
    Paper.objects.update(corrected_title="Title of the editor")

    response = client.get(f"/saved/{list_key}/export.{style}")

    assert "Title of the editor" in body(response)


def test_csv_runs_no_formula(client, saved, list_key):
    text = body(client.get(f"/saved/{list_key}/export.csv"))

    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["title"] for row in rows][2] == "'=HYPERLINK(0)"
    assert rows[0]["note"] == "'=1+1"
    assert [row["done"] for row in rows] == ["no", "no", "yes"]


def test_feeds_have_the_list_and_the_digests(client, ada, saved, list_key, digest):
    feed_key = AccessKey.issue(ada, AccessKey.Kind.FEED, timezone.now()).key

    saved_feed = feedparser.parse(body(client.get(f"/saved/{list_key}/feed")))
    digests = feedparser.parse(body(client.get(f"/private-feeds/{feed_key}")))

    assert len(saved_feed.entries) == 3
    assert len(digests.entries) == len(digest.picks) == 3
    assert not saved_feed.bozo


def test_the_export_of_personal_data_has_the_list(client, ada, saved, key):
    data = client.get(f"/preferences/{key}/data.json").json()

    assert [row["note"] for row in data["saved_papers"]] == ["=1+1", "", ""]

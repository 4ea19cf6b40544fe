"""Ranking settings and experiments in the admin, and previews beside another setting."""

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from digest.models import Experiment, RankingSetting
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client):
    return make.log_in_staff(client, "Operators", "operator@example.org")


@pytest.fixture
def experiment(db):
    setting = RankingSetting.objects.create(name="More trend", trend=0.5)
    return Experiment.objects.create(name="Trend", second=setting)


def act(client, experiment, action):
    url = reverse("admin:digest_experiment_act", args=[experiment.pk])
    response = client.post(url, {"action": action}, follow=True)
    experiment.refresh_from_db()
    return " ".join(response.content.decode().split())


def test_operator_creates_a_setting_and_an_experiment(operator):
    operator.post(
        reverse("admin:digest_rankingsetting_add"), {"name": "Nearest", "nearest": "3"}
    )
    setting = RankingSetting.objects.get()
    data = {"name": "Try nearest", "first": "", "second": setting.pk}
    operator.post(
        reverse("admin:digest_experiment_add"), {**data, "share": 20, "days": 7}
    )

    made = Experiment.objects.get()
    assert (setting.nearest, setting.trend) == (3, None)
    assert (made.first, made.second, made.share) == (None, setting, 20)
    assert made.state == "draft"


@pytest.mark.parametrize(
    ("field", "value"), [("share", 0), ("share", 101), ("days", 22), ("second", "")]
)
def test_experiment_form_refuses_values_out_of_bounds(
    operator, experiment, field, value
):
    data = {"name": "Other", "first": "", "second": experiment.second_id}
    data |= {"share": 10, "days": 7, field: value}

    response = operator.post(reverse("admin:digest_experiment_add"), data)

    assert response.status_code == 200
    assert Experiment.objects.count() == 1


def test_equal_settings_are_refused(operator, experiment):
    setting = experiment.second_id
    data = {"name": "Same", "first": setting, "second": setting}

    response = operator.post(
        reverse("admin:digest_experiment_add"), {**data, "share": 10, "days": 7}
    )

    assert "Choose two different settings." in response.content.decode()


def test_experiment_is_started_stopped_and_kept(operator, experiment):
    assert "Experiment started" in act(operator, experiment, "start")
    assert experiment.state == "running"
    assert experiment.ends_at - experiment.started_at == timedelta(days=14)
    assert "Experiment stopped" in act(operator, experiment, "stop")
    assert experiment.state == "ended"
    assert "used for all readers" in act(operator, experiment, "keep-second")

    assert RankingSetting.objects.get(is_default=True) == experiment.second
    messages = LogEntry.objects.filter(object_id=experiment.pk).order_by("pk")
    assert [entry.change_message.split(".")[0] for entry in messages] == [
        "Experiment started",
        "Experiment stopped",
        "“More trend” is used for all readers from now on",
    ]


@pytest.mark.parametrize("action", ["keep-second", "count", "", "keep-"])
def test_impossible_action_says_why(operator, experiment, action):
    before = Experiment.objects.values().get()

    page = act(operator, experiment, action)

    assert "not started yet" in page or "Choose an action" in page
    assert Experiment.objects.values().get() == before


def test_actions_are_for_operators(client, experiment):
    call_command("setup", verbosity=0)
    user = User.objects.create_user("editor@example.org", is_staff=True)
    user.groups.add(Group.objects.get(name="Editors"))
    client.force_login(user)
    url = reverse("admin:digest_experiment_act", args=[experiment.pk])

    page = client.get(reverse("admin:digest_experiment_change", args=[experiment.pk]))

    assert "Start" not in page.content.decode()
    assert client.post(url, {"action": "start"}).status_code == 403
    assert client.get(url).status_code == 405


def test_results_name_the_winner(operator, experiment):
    experiment.start(timezone.now())
    result = {"first": 40, "second": 80, "ties": 9, "readers": 70}
    results = {"both": {**result, "share": 2 / 3, "low": 0.56, "high": 0.76}}
    Experiment.objects.update(results=results, counted_at=timezone.now())

    page = operator.get(
        reverse("admin:digest_experiment_change", args=[experiment.pk])
    ).content.decode()

    assert "“More trend” wins." in page
    assert "67 %" in page
    assert "(56 to 76 %)" in page


def test_weights_of_a_started_experiment_are_fixed(operator, experiment):
    setting = experiment.second
    url = reverse("admin:digest_rankingsetting_change", args=[setting.pk])
    operator.post(url, {"name": "Renamed", "trend": "0.7"})
    experiment.start(timezone.now())

    operator.post(url, {"name": "Renamed again", "trend": "0.9"})

    setting.refresh_from_db()
    assert (setting.name, setting.trend) == ("Renamed again", 0.7)
    delete = reverse("admin:digest_rankingsetting_delete", args=[setting.pk])
    assert operator.post(delete, {"post": "yes"}).status_code == 403


def test_profile_is_previewed_beside_another_setting(operator):
    make.edition(papers=4)
    edition = make.edition(day=make.DAY + timedelta(days=1), papers=12)
    RankingSetting.objects.create(name="No trend", trend=0)
    url = reverse("admin:digest_edition_preview", args=[edition.pk])
    setting = RankingSetting.objects.get()

    page = operator.get(url, {"keywords": "invented", "compare": setting.pk})
    plain = operator.get(url, {"keywords": "invented", "compare": "999"})

    assert page.context["compared_name"] == setting
    assert len(page.context["compared_rows"]) == 10
    assert "Comparison" in page.content.decode()
    assert "Comparison" not in plain.content.decode()


def test_reader_is_previewed_beside_the_evaluated_weights(operator, ada):
    make.edition(papers=3)
    url = reverse("admin:accounts_subscriber_preview", args=[ada.pk])

    page = operator.get(url, {"compare": "evaluated"}).content.decode()

    assert "Both settings choose the same papers" in page


def test_explanation_says_that_a_reader_is_in_an_experiment(operator, ada, experiment):
    edition = make.edition(papers=3)
    paper = edition.candidates.first().paper
    url = reverse("admin:accounts_subscriber_explain", args=[ada.pk])
    before = operator.get(url, {"paper": paper.identifier}).content.decode()
    Experiment.objects.update(share=100)

    experiment.start(timezone.now())

    page = operator.get(url, {"paper": paper.identifier}).content.decode()
    assert "is in the experiment “Trend”" in page
    assert "is in the experiment" not in before


def test_preview_shows_the_mail_in_light_and_dark(operator):
    edition = make.edition(papers=3)

    page = operator.get(reverse("admin:digest_edition_preview", args=[edition.pk]))

    assert "@media all {" in page.context["dark_html"]
    assert "@media not all {" in page.context["light_html"]
    assert "prefers-color-scheme" not in page.context["dark_html"]
    assert 'content="dark"' in page.context["dark_html"]

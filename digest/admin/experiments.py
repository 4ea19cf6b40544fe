"""Ranking settings, and the page of an experiment: results, start, stop, keep."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_POST

from accounts.admin_base import ModelAdmin, log_action
from digest.feedback import experiment_results
from digest.models import Experiment, RankingSetting

EVALUATED = "Evaluated weights"
WEIGHTS = ("trend", "centroid", "nearest", "sentences")
RESULT_LABELS = {
    "both": "Clicks and opinions",
    "clicks": "Clicks",
    "opinions": "“More like this” and “less like this”",
}


@admin.register(RankingSetting)
class RankingSettingAdmin(ModelAdmin):
    """Weights that an experiment compares, and those that are used for all readers."""

    list_display = ("name", *WEIGHTS, "is_default")
    fields = ("name", *WEIGHTS, "is_default")
    readonly_fields = ("is_default",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Weights that an experiment counted with stay as they were."""
        is_fixed = obj is not None and (obj.was_compared or obj.is_default)
        return (*WEIGHTS, *self.readonly_fields) if is_fixed else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_used = obj is not None and (
            obj.is_default
            or Experiment.objects.filter(Q(first=obj) | Q(second=obj)).exists()
        )
        return not is_used and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Deleting in bulk would not look at which settings are used."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


@admin.register(Experiment)
class ExperimentAdmin(ModelAdmin):
    """Two settings, interleaved for a share of the readers."""

    list_display = ("name", "settings", "share_text", "state", "period", "outcome")
    list_select_related = ("first", "second")
    fields = ("name", "first", "second", "share", "days")
    empty_value_display = EVALUATED
    change_form_outer_before_template = "admin/experiment.html"

    def get_urls(self) -> list[URLPattern]:
        act = require_POST(self.admin_site.admin_view(self.act_view))
        return [
            path("<int:pk>/act/", act, name="digest_experiment_act"),
            *super().get_urls(),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        is_draft = obj is None or obj.state == Experiment.State.DRAFT
        return () if is_draft else self.fields[1:]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_running = obj is not None and obj.state == Experiment.State.RUNNING
        return not is_running and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        """Deleting in bulk would not look at which experiment is running."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def formfield_for_foreignkey(
        self, db_field: Any, request: Any, **kwargs: Any
    ) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "first" and field:
            field.empty_label = EVALUATED
        return field

    @admin.display(description="settings")
    def settings(self, experiment: Experiment) -> str:
        return f"{experiment.first or EVALUATED} / {experiment.second}"

    @admin.display(description="readers", ordering="share")
    def share_text(self, experiment: Experiment) -> str:
        return f"{experiment.share} %"

    @admin.display(description="period", ordering="started_at", empty_value="-")
    def period(self, experiment: Experiment) -> str | None:
        if not experiment.started_at or not experiment.ends_at:
            return None
        days = (experiment.started_at, experiment.ends_at)
        return " to ".join(date_format(timezone.localtime(day), "j M") for day in days)

    @admin.display(description="result")
    def outcome(self, experiment: Experiment) -> str:
        if experiment.kept:
            return f"kept {experiment.get_kept_display()}"
        return describe_result(experiment)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = dict(extra_context or {})
        if object_id.isdecimal():
            context |= experiment_context(int(object_id))
        return super().change_view(request, object_id, form_url, context)

    def act_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Start, stop, keep a setting or count again; `action` says which."""
        experiment = get_object_or_404(
            Experiment.objects.select_related("first", "second"), pk=pk
        )
        if not self.has_change_permission(request, experiment):
            raise PermissionDenied
        now, action = timezone.now(), request.POST.get("action", "")
        try:
            done = run_action(experiment, action, now)
        except ValueError as error:
            messages.error(request, str(error))
        else:
            log_action(request, Experiment.objects.filter(pk=pk), done)
            messages.success(request, done)
        url = reverse("admin:digest_experiment_change", args=[pk])
        return HttpResponseRedirect(url)


def run_action(experiment: Experiment, action: str, now: Any) -> str:
    """Run an action; return what was done. Raises ValueError where it is not possible."""
    match action:
        case "start":
            experiment.start(now)
            return "Experiment started. The next digests are interleaved."
        case "stop":
            experiment.stop(now)
            experiment_results.store_results(experiment, now)
            return "Experiment stopped. All readers get the default setting."
        case "keep-first" | "keep-second":
            experiment.keep(action.removeprefix("keep-"), now)
            setting = experiment.first if action == "keep-first" else experiment.second
            return f"“{setting or EVALUATED}” is used for all readers from now on."
        case "count":
            if experiment.state == Experiment.State.DRAFT:
                raise ValueError("This experiment was not started yet.")
            experiment_results.store_results(experiment, now)
            return "Results counted."
        case _:
            raise ValueError("Choose an action of the page.")


def experiment_context(pk: int) -> dict[str, Any]:
    experiment = Experiment.objects.filter(pk=pk).first()
    if experiment is None:
        return {}
    rows = [
        (label, experiment.results[name])
        for name, label in RESULT_LABELS.items()
        if name in experiment.results
    ]
    return {
        "experiment": experiment,
        "first_name": experiment.first or EVALUATED,
        "result_rows": rows,
        "verdict": describe_result(experiment),
    }


def describe_result(experiment: Experiment) -> str:
    """Say which setting wins, if the interval of its share leaves out one half."""
    result = experiment.results.get("both", {})
    if result.get("share") is None:
        return (
            ""
            if experiment.state == Experiment.State.DRAFT
            else "No digest is decided yet."
        )
    low, high = result["low"], result["high"]
    if low > 0.5:
        return f"“{experiment.second}” wins."
    if high < 0.5:
        return f"“{experiment.first or EVALUATED}” wins."
    return "No clear winner yet."

"""Base classes and helpers of every admin page, in accounts and in digest."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from accounts.addresses import canonical_address
from accounts.models import domain_of

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    from django.contrib.admin.views.main import ChangeList

    UnfoldModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin as UnfoldModelAdmin
    from unfold.views import ChangeList

MAX_LOGGED_CHARS = 1_000  # of each value in the history


class ModelAdmin(UnfoldModelAdmin):
    """Base of every admin: the history holds the values before and after a change."""

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        if add:
            return super().construct_change_message(request, form, formsets, add)
        changes = [
            f"{form[name].label}: {format_value(form.initial.get(name))} → {format_value(form.cleaned_data.get(name))}"
            for name in form.changed_data
            if "password" not in name
        ]
        return "; ".join(changes) or "Nothing changed."


def format_value(value: Any) -> str:
    """A value of a form in quotation marks, shortened."""
    if isinstance(value, QuerySet | list | tuple):
        value = ", ".join(str(item) for item in value)
    text = "" if value is None else str(value)
    if len(text) > MAX_LOGGED_CHARS:
        text = f"{text[: MAX_LOGGED_CHARS - 1]}…"
    return f"“{text}”"


class SingleCountChangeList(ChangeList):
    """A change list that counts the matching rows once and skips the count of all rows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count


# Rows that a list counts and pages through; more are found by search and filters.
MAX_COUNTED_ROWS = 10_000


class CappedCount(int):
    """A number of rows, shown as "10,000+" where counting stopped."""

    def __str__(self) -> str:
        text = f"{int(self):,}"
        return f"{text}+" if self >= MAX_COUNTED_ROWS else text


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # not generic at run time
    """A paginator that counts at most MAX_COUNTED_ROWS: counting millions takes a second."""

    @cached_property
    def count(self) -> int:
        # In any order: counting stops at the first rows that match.
        rows = self.object_list.order_by().values_list("pk")[:MAX_COUNTED_ROWS]  # type: ignore[attr-defined]
        return CappedCount(rows.count())


class LargeTableAdmin(ModelAdmin):
    """Admin of a table that may hold millions of rows."""

    show_full_result_count = False
    list_per_page = 50
    paginator = CappedPaginator

    def get_changelist(self, request: HttpRequest, **_: Any) -> type[ChangeList]:
        return SingleCountChangeList


class ReadOnlyAdmin(LargeTableAdmin):
    """Admin of rows that only the pipeline writes."""

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def count_related(rows: QuerySet[Any], foreign_key: str) -> Coalesce:
    """Annotation: the number of `rows` that refer to each row of the outer query."""
    number = rows.order_by().values(foreign_key).annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(number), 0)


def filter_by_address(
    queryset: QuerySet[Any], typed: str, field: str = "email"
) -> QuerySet[Any]:
    """Rows whose address begins with `typed`, or is of that domain: both by an index.

    A complete address also finds its tagged forms: ada@… finds ada+papers@….
    """
    text = typed.strip().lower()
    local, _, domain = canonical_address(text).rpartition("@")
    queryset = queryset.alias(address_domain=domain_of(field))
    is_of_domain = Q(address_domain=domain)
    if text.startswith("@"):
        return queryset.filter(is_of_domain)
    # The canonical form of an incomplete domain may differ from what was typed.
    matches = Q(**{f"{field}__startswith": text})
    matches |= Q(**{f"{field}__startswith": canonical_address(text)})
    if local:
        matches |= Q(**{f"{field}__startswith": f"{local}+"}) & is_of_domain
    elif "." in domain:  # "example.org" without @
        matches |= is_of_domain
    return queryset.filter(matches)


def render_page(
    model_admin: ModelAdmin, request: HttpRequest, template: str, **context: Any
) -> TemplateResponse:
    """A page of the admin beside Django's own, in the same frame."""
    context |= {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": context["title"],
    }
    return TemplateResponse(request, template, context)


# The POST fields of an action that its confirmation page repeats.
ACTION_FIELDS = ("action", "select_across", "_selected_action")
MAX_LISTED_ROWS = 20  # on a confirmation page


def confirm_action(
    model_admin: ModelAdmin,
    request: HttpRequest,
    chosen: QuerySet[Any],
    verb: str,
    warning: str,
) -> TemplateResponse:
    """Ask before an action changes these rows; its form posts the action again with `sure`."""
    number, opts = chosen.count(), chosen.model._meta
    rows = (
        f"this {opts.verbose_name}"
        if number == 1
        else f"these {number:,} {opts.verbose_name_plural}"
    )
    return render_page(
        model_admin,
        request,
        "admin/confirm_action.html",
        title=f"{verb} {rows}?",
        button=f"{verb} {rows}",
        warning=warning,
        rows=chosen[:MAX_LISTED_ROWS],
        other_count=max(number - MAX_LISTED_ROWS, 0),
        form_fields=[
            (name, value)
            for name in ACTION_FIELDS
            for value in request.POST.getlist(name)
        ],
    )


def log_action(request: HttpRequest, rows: QuerySet[Any], message: str) -> None:
    """Write one entry of the history for each row."""
    assert request.user.pk  # the admin requires staff
    LogEntry.objects.log_actions(request.user.pk, rows, CHANGE, message)

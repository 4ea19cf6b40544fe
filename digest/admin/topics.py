"""Topics, interests and follows."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from accounts.admin_base import (
    ModelAdmin,
    ReadOnlyAdmin,
    confirm_action,
    count_related,
    filter_by_address,
    format_value,
    log_action,
    render_page,
)
from digest.follows import merge_topics, topic_followers
from digest.ingest import monitoring
from digest.models import Edition, Follow, Interest, Paper, Topic
from digest.text.arxiv_categories import normalize_categories, unknown_categories
from digest.topic_figures import SHOWN_DAYS, annotate_figures

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    ModelForm = forms.ModelForm[Topic]
    SelectWidget = forms.Select
    TextareaWidget = forms.Textarea
else:
    from django.forms import ModelForm
    from unfold.widgets import UnfoldAdminSelectWidget as SelectWidget
    from unfold.widgets import UnfoldAdminTextareaWidget as TextareaWidget

LISTED_MATCHES = 15
# Of a topic that is being typed; longer texts do not change which papers match.
MAX_MATCHED_CHARS, MAX_MATCHED_EXAMPLES = 4_000, 50
ARCHIVE_WARNING = "They are no longer offered to readers. Their followers keep them, and can unfollow them in their preferences."


class LinesField(forms.CharField):
    """A list of strings, edited one per line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=False, widget=TextareaWidget(attrs={"rows": 6}), **options
        )

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else "\n".join(value or [])

    def clean(self, value: Any) -> list[str]:
        lines = (" ".join(line.split()) for line in (value or "").splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.clean(data) != list(initial or [])


class TopicForm(ModelForm):
    description = forms.CharField(
        required=False,
        widget=TextareaWidget(attrs={"rows": 3}),
        help_text="One or two sentences; its words also find papers. Empty: the name.",
    )
    keywords = LinesField(help_text="Terms of the topic, one per line.")
    categories = LinesField(
        help_text="arXiv categories of the topic, one per line, such as cs.LG."
    )

    class Meta:
        model = Topic
        fields = (
            "name",
            "slug",
            "description",
            "keywords",
            "categories",
            "examples",
            "position",
            "is_listed",
        )

    def clean_description(self) -> str:
        description = str(self.cleaned_data["description"])
        return description or str(self.cleaned_data.get("name", ""))

    def clean_categories(self) -> list[str]:
        names = normalize_categories(self.cleaned_data["categories"])
        if unknown := unknown_categories(names):
            raise forms.ValidationError(
                f"Not an arXiv category: {', '.join(unknown)}. Use names such as cs.LG, "
                "or cs for the whole archive."
            )
        return names


class MergeForm(forms.Form):
    """Asks into which topic another one is merged."""

    target = forms.ModelChoiceField(
        Topic.objects.none(), label="Merge into", widget=SelectWidget()
    )

    def __init__(self, source: Topic, data: Any = None) -> None:
        super().__init__(data)
        others = Topic.objects.filter(merged_into=None).exclude(pk=source.pk)
        self.fields["target"].queryset = others  # type: ignore[attr-defined]


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    """Topics that readers can follow: their matches while typing, followers, clicks; merging, archiving."""

    form = TopicForm
    fields = TopicForm.Meta.fields
    list_display = (
        "name",
        "followers",
        "muters",
        "picks",
        "clicks_per_pick",
        "disliked",
        "category_list",
        "state",
    )
    list_filter = ("is_listed",)
    search_fields = ("name", "description")
    autocomplete_fields = ("examples",)
    actions = ("archive", "restore")
    list_before_template = "admin/style.html"
    change_form_outer_before_template = "admin/topic.html"
    change_form_after_template = "admin/topic_matches.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        follows = Follow.objects.filter(
            interest__kind="topic", interest__value=OuterRef("slug")
        )
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.select_related("merged_into").annotate(
            follower_count=count_related(follows.filter(weight__gt=0), "interest"),
            muter_count=count_related(follows.filter(weight__lt=0), "interest"),
        )
        return annotate_figures(rows, timezone.localdate())

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        matches = require_POST(view(self.matches_view))
        return [
            path("matches/", matches, name="digest_topic_matches"),
            path("<int:pk>/merge/", view(self.merge_view), name="digest_topic_merge"),
            *super().get_urls(),
        ]

    @admin.display(description="readers", ordering="follower_count")
    def followers(self, topic: Any) -> int:
        return int(topic.follower_count)

    @admin.display(description="muted by", ordering="muter_count")
    def muters(self, topic: Any) -> int:
        return int(topic.muter_count)

    @admin.display(description=f"picks, {SHOWN_DAYS} days", ordering="picks_sum")
    def picks(self, topic: Any) -> str:
        return f"{topic.picks_sum:,}"

    @admin.display(description="clicks per 100 picks", empty_value="-")
    def clicks_per_pick(self, topic: Any) -> str | None:
        if not topic.picks_sum:
            return None
        return f"{100 * topic.clicks_sum / topic.picks_sum:.1f}"

    @admin.display(description="disliked", ordering="disliked_sum")
    def disliked(self, topic: Any) -> int:
        return int(topic.disliked_sum)

    @admin.display(description="categories")
    def category_list(self, topic: Topic) -> str:
        names = ", ".join(topic.categories)
        unread = ", ".join(unread_categories(topic.categories))
        warning = (
            '{}<br><span class="pr"><span class="pr-warn">Not read: {}</span></span>'
        )
        return format_html(warning, names, unread) if unread else names

    @admin.display(description="state", ordering="is_listed")
    def state(self, topic: Topic) -> str:
        if topic.merged_into:
            return f"merged into {topic.merged_into}"
        return "offered" if topic.is_listed else "archived"

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Any = None
    ) -> dict[str, Any]:
        return {} if obj else {"slug": ["name"]}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("slug",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A topic with followers cannot be deleted, only archived or merged."""
        if obj is None or topic_followers(obj.slug).exists():
            return False
        return super().has_delete_permission(request, obj)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = dict(extra_context or {})
        topic = None
        if object_id.isdecimal():
            topic = self.get_queryset(request).filter(pk=object_id).first()
        if topic:
            context |= {
                "topic": topic,
                "clicks_per_100": self.clicks_per_pick(topic),
                "unread": unread_categories(topic.categories),
                "figure_days": SHOWN_DAYS,
            }
        return super().change_view(request, object_id, form_url, context)

    def matches_view(self, request: HttpRequest) -> HttpResponse:
        """Papers of the last two weeks that the topic in the form would match, as it is typed."""
        from digest.ranking.editor_preview import match_topic

        if not request.user.has_perms(["digest.view_topic", "digest.view_candidate"]):
            raise PermissionDenied
        topic = parse_typed_topic(request.POST)
        context: dict[str, Any] = {"topic": topic}
        edition = Edition.objects.filter(candidates__isnull=False).first()
        if edition and topic.name:
            pks = [pk for pk in request.POST.getlist("examples") if pk.isdecimal()]
            examples = Paper.objects.filter(pk__in=pks[:MAX_MATCHED_EXAMPLES])
            identifiers = list(examples.values_list("identifier", flat=True))
            matches = match_topic(edition, topic, identifiers, LISTED_MATCHES)
            context |= {"edition": edition, "matches": matches, "chosen": identifiers}
        context["unread"] = unread_categories(topic.categories)
        template = "admin/topic_match_list.html"
        return TemplateResponse(request, template, context)

    def merge_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET asks for the other topic; POST shows what moves, and with `sure` merges."""
        source = get_object_or_404(Topic, pk=pk, merged_into=None)
        if not self.has_change_permission(request, source):
            raise PermissionDenied
        form = MergeForm(source, request.POST or None)
        target = form.cleaned_data["target"] if form.is_valid() else None
        if target and "sure" in request.POST:
            return self.merge(request, source, target)
        return render_page(
            self,
            request,
            "admin/topic_merge.html",
            title=f"Merge {source}",
            source=source,
            target=target,
            form=form,
            **(describe_merge(source, target) if target else {}),
        )

    def merge(self, request: HttpRequest, source: Topic, target: Topic) -> HttpResponse:
        before = f"{', '.join(target.keywords)}; {', '.join(target.categories)}"
        number = merge_topics(source, target)
        after = f"{', '.join(target.keywords)}; {', '.join(target.categories)}"
        followers = f"{number:,} follow{'' if number == 1 else 's'}"
        self.log_change(request, source, f"Merged into {target}: {followers}.")
        terms = (
            f"keywords and categories {format_value(before)} → {format_value(after)}"
        )
        self.log_change(request, target, f"Took over {source}: {followers}; {terms}.")
        messages.success(request, f"{source} is merged into {target}: {followers}.")
        url = reverse("admin:digest_topic_change", args=[target.pk])
        return HttpResponseRedirect(url)

    @admin.action(description="Archive", permissions=["change"])
    def archive(
        self, request: HttpRequest, selected: QuerySet[Any]
    ) -> TemplateResponse | None:
        if "sure" not in request.POST:
            return confirm_action(self, request, selected, "Archive", ARCHIVE_WARNING)
        log_action(request, selected, "Archived.")
        number = Topic.objects.filter(pk__in=selected.values("pk")).update(
            is_listed=False
        )
        messages.success(request, f"{number} archived.")
        return None

    @admin.action(description="Offer again", permissions=["change"])
    def restore(self, request: HttpRequest, selected: QuerySet[Any]) -> None:
        rows = Topic.objects.filter(pk__in=selected.values("pk"), merged_into=None)
        log_action(request, rows, "Offered again.")
        number = rows.update(is_listed=True)
        messages.success(request, f"{number} offered to readers again.")


def unread_categories(names: Iterable[str]) -> list[str]:
    """The categories of a topic that ingest does not read."""
    return [name for name in names if not monitoring.is_read(name)]


def parse_typed_topic(typed: QueryDict) -> Topic:
    """The topic in a form that is being filled in, bounded and without its errors."""
    lines = LinesField()
    return Topic(
        name=typed.get("name", "")[:80].strip(),
        description=typed.get("description", "")[:MAX_MATCHED_CHARS],
        keywords=lines.clean(typed.get("keywords", "")[:MAX_MATCHED_CHARS]),
        categories=normalize_categories(
            lines.clean(typed.get("categories", "")[:MAX_MATCHED_CHARS])
        ),
    )


def describe_merge(source: Topic, target: Topic) -> dict[str, Any]:
    """What a merge moves, counted before it."""
    moved = topic_followers(source.slug)
    both = moved.filter(
        subscriber__in=topic_followers(target.slug).values("subscriber")
    )
    return {
        "moved": moved.count(),
        "both": both.count(),
        "new_keywords": [k for k in source.keywords if k not in target.keywords],
        "new_categories": [c for c in source.categories if c not in target.categories],
        "examples": source.examples.count(),
    }


@admin.register(Interest)
class InterestAdmin(ReadOnlyAdmin):
    """Interests, with the number of readers who follow or mute them."""

    list_display = ("value", "kind", "followers", "muters")
    list_filter = ("kind",)
    search_fields = ("value",)
    ordering = ("-pk",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        follows = Follow.objects.filter(interest=OuterRef("pk"))
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(
                follower_count=count_related(follows.filter(weight__gt=0), "interest"),
                muter_count=count_related(follows.filter(weight__lt=0), "interest"),
            )
        )
        return rows

    @admin.display(description="followers", ordering="follower_count")
    def followers(self, interest: Any) -> int:
        return int(interest.follower_count)

    @admin.display(description="muted by", ordering="muter_count")
    def muters(self, interest: Any) -> int:
        return int(interest.muter_count)


@admin.register(Follow)
class FollowAdmin(ReadOnlyAdmin):
    """What each reader follows and mutes."""

    list_display = ("subscriber", "interest", "weight", "source", "created_at")
    list_filter = ("source", "interest__kind")
    list_select_related = ("subscriber", "interest")
    search_fields = ("subscriber__email",)
    search_help_text = "Beginning of the email address"
    ordering = ("-pk",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term:
            queryset = filter_by_address(queryset, search_term, "subscriber__email")
        return queryset, False

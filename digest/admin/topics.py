"""Topics, interests and follows."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet
from django.http import HttpRequest

from accounts.admin_base import (
    ModelAdmin,
    ReadOnlyAdmin,
    count_related,
    filter_by_address,
)
from digest.models import Follow, Interest, Topic
from digest.text.arxiv_categories import normalize_categories, unknown_categories

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    ModelForm = forms.ModelForm[Topic]
    TextareaWidget = forms.Textarea
else:
    from django.forms import ModelForm
    from unfold.widgets import UnfoldAdminTextareaWidget as TextareaWidget


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

    def clean_categories(self) -> list[str]:
        names = normalize_categories(self.cleaned_data["categories"])
        if unknown := unknown_categories(names):
            raise forms.ValidationError(
                f"Not an arXiv category: {', '.join(unknown)}. Use names such as cs.LG, "
                "or cs for the whole archive."
            )
        return names


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    """Topics that readers can follow."""

    form = TopicForm
    list_display = (
        "name",
        "followers",
        "keyword_list",
        "category_list",
        "position",
        "is_listed",
    )
    list_filter = ("is_listed",)
    search_fields = ("name", "description")
    autocomplete_fields = ("examples",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        follows = Follow.objects.filter(
            interest__kind="topic", interest__value=OuterRef("slug"), weight__gt=0
        )
        rows: QuerySet[Any] = (
            super()
            .get_queryset(request)
            .annotate(follower_count=count_related(follows, "interest"))
        )
        return rows

    @admin.display(description="followers", ordering="follower_count")
    def followers(self, topic: Any) -> int:
        return int(topic.follower_count)

    @admin.display(description="keywords")
    def keyword_list(self, topic: Topic) -> str:
        return ", ".join(topic.keywords)

    @admin.display(description="categories")
    def category_list(self, topic: Topic) -> str:
        return ", ".join(topic.categories)

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Any = None
    ) -> dict[str, Any]:
        return {} if obj else {"slug": ["name"]}

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("slug",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A topic with followers cannot be deleted, only unlisted."""
        if (
            obj is None
            or Follow.objects.filter(
                interest__kind="topic", interest__value=obj.slug
            ).exists()
        ):
            return False
        return super().has_delete_permission(request, obj)


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

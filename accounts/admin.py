"""The control room's view of people: editors, readers, and addresses that must not be mailed."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import rate_limits
from accounts.admin_base import (
    LargeTableAdmin,
    ModelAdmin,
    ReadOnlyAdmin,
    filter_by_address,
    render_page,
)
from accounts.models import Subscriber, Suppression, User, address_hash

if TYPE_CHECKING:  # the theme carries no types; its classes extend these
    from django.contrib.admin.forms import AdminAuthenticationForm as AuthenticationForm
    from django.contrib.auth.forms import (
        AdminPasswordChangeForm,
        AdminUserCreationForm,
        UserChangeForm,
    )

    UserCreationForm = AdminUserCreationForm[User]
    ModelForm = forms.ModelForm[Suppression]
    EmailWidget = forms.EmailInput
    SelectWidget = forms.Select
else:
    from django.forms import ModelForm
    from unfold.forms import (
        AdminPasswordChangeForm,
        AuthenticationForm,
        UserChangeForm,
        UserCreationForm,
    )
    from unfold.widgets import UnfoldAdminEmailInputWidget as EmailWidget
    from unfold.widgets import UnfoldAdminSelectWidget as SelectWidget

admin.site.unregister(Group)

NO_WAY_BACK = "They get no more mail, at once. Only they can subscribe again."
NEVER_MAILED = "Nothing of ours goes to these addresses any more, whoever signs them up, until the suppression is deleted."
# What an action's form holds, to be posted again by whoever is sure.
ASKED = ("action", "select_across", "_selected_action")
NAMED = 20  # readers on the page that asks


class Login(AuthenticationForm):
    """An address and a password, and not too many of them."""

    def clean(self) -> dict[str, Any]:
        if self.request and rate_limits.login_is_busy(self.request):
            raise forms.ValidationError(
                "Too many passwords were tried from your network. Try again in an hour."
            )
        return super().clean()


admin.site.login_form = Login


class NewEditorForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")


@admin.register(User)
class EditorAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]
    """Those who log in, by email."""

    form = UserChangeForm
    add_form = NewEditorForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "is_staff", "is_superuser", "is_active")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ("groups", "user_permissions")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Permissions", {"fields": ("groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": (
                    "email",
                    "name",
                    "usable_password",
                    "password1",
                    "password2",
                ),
            },
        ),
    )


@admin.register(Group)
class GroupOfEditorsAdmin(GroupAdmin, ModelAdmin):
    """Permissions given to several editors at once."""


@admin.register(Subscriber)
class SubscriberAdmin(LargeTableAdmin):
    """Readers, found by address. Consent is the reader's own: nobody gives it here.

    Who may delete a reader may erase one that asks for it; a suppression stays.
    """

    list_display = (
        "email",
        "state",
        "forbidden",
        "frequency",
        "hour",
        "zone",
        "length",
        "fill_mode",
        "confirmed_at",
    )
    list_filter = ("state", "frequency", "fill_mode")
    search_fields = ("email",)
    search_help_text = "The beginning of an address"
    ordering = ("-pk",)
    actions = ("mark_left", "suppress")
    readonly_fields = (
        "email",
        "state",
        "forbidden",
        "created_at",
        "confirmed_at",
        "left_at",
        "consent_text",
        "consent_how",
    )
    fieldsets = (
        (None, {"fields": ("email", "state", "forbidden")}),
        (
            "When and how much",
            {
                "fields": (
                    ("frequency", "weekday"),
                    ("hour", "zone"),
                    "length",
                    "paused_until",
                )
            },
        ),
        (
            "What fills it",
            {"fields": ("fill_mode", ("note_when_empty", "learns_from_clicks"))},
        ),
        (
            "What they agreed to",
            {
                "fields": (
                    "consent_text",
                    "consent_how",
                    ("created_at", "confirmed_at", "left_at"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        known = Suppression.objects.filter(address_hash=OuterRef("address_hash"))
        rows: QuerySet[Any] = (
            super().get_queryset(request).annotate(is_forbidden=Exists(known))
        )
        return rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """By the beginning of the address, which an index answers."""
        if search_term:
            queryset = filter_by_address(queryset, search_term)
        return queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Erasing a reader takes all that is theirs along, though nobody deletes those rows alone."""
        shown, counts, _, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(), protected

    def save_model(
        self, request: HttpRequest, obj: Subscriber, form: Any, change: bool
    ) -> None:
        """Only what the operator changed: the reader may be leaving at this moment."""
        obj.save(update_fields=form.changed_data)

    @admin.display(description="suppressed")
    def forbidden(self, subscriber: Any) -> str:
        return "yes: never mailed" if subscriber.is_forbidden else "no"

    @admin.action(description="Unsubscribe them", permissions=["change"])
    def mark_left(
        self, request: HttpRequest, queryset: QuerySet[Subscriber]
    ) -> HttpResponse | None:
        if "sure" not in request.POST:
            return self.ask(request, queryset, "Unsubscribe", NO_WAY_BACK)
        now = timezone.now()
        for subscriber in queryset:
            subscriber.leave(now)
            self.log_change(request, subscriber, "Unsubscribed by an operator.")
        messages.success(request, f"Unsubscribed: {len(queryset)}.")
        return None

    @admin.action(
        description="Never mail these addresses again", permissions=["change"]
    )
    def suppress(
        self, request: HttpRequest, queryset: QuerySet[Subscriber]
    ) -> HttpResponse | None:
        if "sure" not in request.POST:
            return self.ask(request, queryset, "Never mail", NEVER_MAILED)
        for subscriber in queryset:
            Suppression.add(subscriber.email, Suppression.Reason.MANUAL)
            self.log_change(request, subscriber, "Suppressed by an operator.")
        messages.success(request, f"Suppressed: {len(queryset)}.")
        return None

    def ask(
        self,
        request: HttpRequest,
        chosen: QuerySet[Subscriber],
        verb: str,
        warning: str,
    ) -> HttpResponse:
        """A page between an action and its doing; its button posts the same form again, and that one is sure."""
        number = chosen.count()
        readers = "this reader" if number == 1 else f"these {number} readers"
        return render_page(
            self,
            request,
            "admin/confirm_action.html",
            title=f"{verb} {readers}?",
            button=f"{verb} {readers}",
            warning=warning,
            rows=chosen[:NAMED],
            other_count=max(number - NAMED, 0),
            form_fields=[
                (name, value) for name in ASKED for value in request.POST.getlist(name)
            ],
        )


class SuppressionForm(ModelForm):
    """An address goes in; only its hash is kept."""

    email = forms.EmailField(
        widget=EmailWidget(),
        help_text="This address is never mailed again. Only its hash is kept.",
    )
    reason = forms.ChoiceField(
        choices=Suppression.Reason.choices,
        initial=Suppression.Reason.MANUAL,
        widget=SelectWidget(),
    )

    class Meta:
        model = Suppression
        fields = ("reason",)

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        if Suppression.objects.filter(address_hash=address_hash(email)).exists():
            raise forms.ValidationError("This address is suppressed already.")
        return email

    def save(self, commit: bool = True) -> Suppression:
        self.instance.address_hash = address_hash(self.cleaned_data["email"])
        return super().save(commit)


@admin.register(Suppression)
class SuppressionAdmin(ReadOnlyAdmin):
    """Addresses that must not be mailed: found by address, shown as hashes."""

    form = SuppressionForm
    list_display = ("address_hash", "reason", "created_at")
    list_filter = ("reason",)
    search_fields = ("address_hash",)
    search_help_text = "A whole address"
    ordering = ("-created_at",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term:
            queryset = queryset.filter(address_hash=address_hash(search_term))
        return queryset, False

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("email", "reason")
        return ("address_hash", "reason", "created_at")

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return ModelAdmin.has_add_permission(self, request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What an operator said may be taken back; what a provider reported may not."""
        by_hand = obj is not None and obj.reason == Suppression.Reason.MANUAL
        return by_hand and ModelAdmin.has_delete_permission(self, request, obj)

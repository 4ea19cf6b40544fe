"""Admin of readers, suppressed addresses and waiting mails."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import staff_admin, tasks  # noqa: F401  (staff_admin registers models)
from accounts.addresses import address_hash
from accounts.admin_base import (
    LargeTableAdmin,
    ModelAdmin,
    ReadOnlyAdmin,
    confirm_action,
    filter_by_address,
    log_action,
)
from accounts.models import AccountMail, Subscriber, Suppression

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    ModelForm = forms.ModelForm[Suppression]
    EmailWidget = forms.EmailInput
    SelectWidget = forms.Select
else:
    from django.forms import ModelForm
    from unfold.widgets import UnfoldAdminEmailInputWidget as EmailWidget
    from unfold.widgets import UnfoldAdminSelectWidget as SelectWidget

UNSUBSCRIBE_WARNING = (
    "They get no more mail, effective immediately. Only they can subscribe again."
)
SUPPRESS_WARNING = "These addresses get no mail from this site, even if someone signs them up again, until you delete the suppression."


@admin.register(Subscriber)
class SubscriberAdmin(LargeTableAdmin):
    """Readers, searched by address. Only readers themselves can give consent.

    Deleting a reader erases them; their suppression stays.
    """

    list_display = (
        "email",
        "state",
        "suppressed",
        "frequency",
        "hour",
        "zone",
        "length",
        "fill_mode",
        "confirmed_at",
    )
    list_filter = ("state", "frequency", "fill_mode")
    search_fields = ("email",)
    search_help_text = "Start of an email address, or @ and a domain"
    ordering = ("-pk",)
    actions: tuple[str, ...] = ("unsubscribe", "suppress")
    readonly_fields = (
        "email",
        "state",
        "suppressed",
        "created_at",
        "confirmed_at",
        "left_at",
        "consent_text",
        "consent_how",
    )
    # The page shows state and consent above the form.
    fieldsets = (
        (
            "Schedule",
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
            "Content",
            {
                "fields": (
                    "fill_mode",
                    ("note_when_empty", "learns_from_clicks"),
                    ("short_mails", "saved_on_friday"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        suppressions = Suppression.objects.filter(address_hash=OuterRef("address_hash"))
        readers: QuerySet[Any] = (
            super().get_queryset(request).annotate(is_suppressed=Exists(suppressions))
        )
        return readers

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by prefix of the address, which can use the index."""
        if search_term:
            queryset = filter_by_address(queryset, search_term)
        return queryset, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Allow cascading to the reader's rows, which have no delete permission of their own."""
        objects, counts, _, protected = super().get_deleted_objects(objs, request)
        return objects, counts, set(), protected

    def save_model(
        self, request: HttpRequest, obj: Subscriber, form: Any, change: bool
    ) -> None:
        """Save changed fields only, so that a concurrent unsubscribe is not overwritten."""
        obj.save(update_fields=form.changed_data)

    @admin.display(description="suppressed")
    def suppressed(self, subscriber: Any) -> str:
        return "yes: not mailed" if subscriber.is_suppressed else "no"

    @admin.action(description="Unsubscribe selected readers", permissions=["change"])
    def unsubscribe(
        self, request: HttpRequest, queryset: QuerySet[Subscriber]
    ) -> HttpResponse | None:
        if "sure" not in request.POST:
            return confirm_action(
                self, request, queryset, "Unsubscribe", UNSUBSCRIBE_WARNING
            )
        now = timezone.now()
        for subscriber in queryset:
            subscriber.unsubscribe(now)
            self.log_change(request, subscriber, "Unsubscribed by an operator.")
        messages.success(request, f"Unsubscribed {len(queryset)} readers.")
        return None

    @admin.action(description="Suppress selected addresses", permissions=["change"])
    def suppress(
        self, request: HttpRequest, queryset: QuerySet[Subscriber]
    ) -> HttpResponse | None:
        if "sure" not in request.POST:
            return confirm_action(self, request, queryset, "Suppress", SUPPRESS_WARNING)
        for subscriber in queryset:
            Suppression.add(subscriber.email, Suppression.Reason.MANUAL)
            self.log_change(request, subscriber, "Suppressed by an operator.")
        messages.success(request, f"Suppressed {len(queryset)} addresses.")
        return None


@admin.register(AccountMail)
class AccountMailAdmin(ReadOnlyAdmin):
    """The queue of account mails. Most are sent within seconds; failing ones stay here."""

    list_display = (
        "kind",
        "email",
        "created_at",
        "attempts",
        "next_attempt_at",
        "last_error",
    )
    list_filter = ("kind",)
    search_fields = ("email",)
    search_help_text = "Start of an email address"
    ordering = ("next_attempt_at",)
    actions = ("retry",)
    fields = (*list_display, "subscriber")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if search_term:
            queryset = filter_by_address(queryset, search_term)
        return queryset, False

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_accountmail")

    @admin.action(description="Send selected mails now", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[AccountMail]) -> None:
        mail_ids = list(queryset.values_list("pk", flat=True))
        log_action(request, queryset, "Sent now.")
        queryset.update(next_attempt_at=timezone.now())
        for mail_id in mail_ids:
            tasks.enqueue_on_commit(tasks.send_account_mail, mail_id)
        messages.success(request, f"Sending {len(mail_ids)} mails.")


class SuppressionForm(ModelForm):
    """Takes an address and stores its hash."""

    email = forms.EmailField(
        widget=EmailWidget(),
        help_text="This address gets no more mail. Only its hash is stored.",
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
            raise forms.ValidationError("This address is already suppressed.")
        return email

    def save(self, commit: bool = True) -> Suppression:
        self.instance.address_hash = address_hash(self.cleaned_data["email"])
        return super().save(commit)


@admin.register(Suppression)
class SuppressionAdmin(ReadOnlyAdmin):
    """Suppressed addresses: searched by address, listed by hash."""

    form = SuppressionForm
    list_display = ("address_hash", "reason", "created_at")
    list_filter = ("reason",)
    search_fields = ("address_hash",)
    search_help_text = "A complete email address"
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
        """Allow deleting suppressions that people requested, not those a provider reported."""
        is_ours = obj is not None and obj.reason in Suppression.DELETABLE_REASONS
        return is_ours and ModelAdmin.has_delete_permission(self, request, obj)

"""Admin of staff accounts: sign-in, two-factor authentication, invitations and password resets."""

from typing import TYPE_CHECKING, Any

import segno
from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.auth import views as auth_views
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse_lazy
from django_otp.plugins.otp_static import admin as otp_static_admin
from django_otp.plugins.otp_totp import admin as otp_totp_admin

from accounts import rate_limits, staff_sign_in, tasks
from accounts.addresses import canonical_address
from accounts.admin_base import ModelAdmin, ReadOnlyAdmin
from accounts.models import AccountMail, User

if TYPE_CHECKING:  # unfold has no types; its classes extend these
    from django.contrib.admin.forms import AdminAuthenticationForm as AuthenticationForm
    from django.contrib.auth.forms import (
        AdminPasswordChangeForm,
        AdminUserCreationForm,
        SetPasswordForm,
        UserChangeForm,
    )

    UserCreationForm = AdminUserCreationForm[User]
    TextWidget = forms.TextInput
    PasswordWidget = forms.PasswordInput
else:
    from django.contrib.auth.forms import SetPasswordForm
    from unfold.forms import (
        AdminPasswordChangeForm,
        AuthenticationForm,
        UserChangeForm,
        UserCreationForm,
    )
    from unfold.widgets import UnfoldAdminPasswordWidget as PasswordWidget
    from unfold.widgets import UnfoldAdminTextInputWidget as TextWidget

CODE_ATTRS = {"autocomplete": "one-time-code", "inputmode": "text", "maxlength": "20"}

admin.site.unregister(Group)
# The pages of django-otp show the secret keys.
admin.site.unregister([otp_static_admin.StaticDevice, otp_totp_admin.TOTPDevice])


class CodeForm(forms.Form):
    code = forms.CharField(
        label="Authentication code", widget=TextWidget(attrs=CODE_ATTRS)
    )


class LoginForm(AuthenticationForm):
    """Email, password and, where it is turned on, the code of an authenticator app."""

    code = forms.CharField(
        label="Authentication code (if turned on)",
        required=False,
        widget=TextWidget(attrs=CODE_ATTRS),
    )

    def clean(self) -> dict[str, Any]:
        email = self.cleaned_data.get("username") or ""
        assert self.request  # the admin always passes it
        if wait_s := staff_sign_in.hit_sign_in(self.request, email):
            staff_sign_in.log_failed_sign_in(self.request, email, "rate limit")
            minutes = -(-wait_s // 60)
            raise forms.ValidationError(
                f"Too many failed sign-in attempts. Try again in {minutes} minutes."
            )
        try:
            cleaned_data: dict[str, Any] = super().clean()
            self.check_code()
        except forms.ValidationError as error:
            reason = str(error.code or "invalid")
            staff_sign_in.log_failed_sign_in(self.request, email, reason)
            raise
        staff_sign_in.clear_sign_ins(self.request, email)
        return cleaned_data

    def check_code(self) -> None:
        user = self.get_user()
        if not isinstance(user, User) or user.two_factor_at is None:
            return
        if not staff_sign_in.verify_code(user, self.cleaned_data.get("code", "")):
            raise forms.ValidationError(
                "Enter the current code from your authenticator app, or an unused recovery code.",
                code="code",
            )


admin.site.login_form = LoginForm
admin.site.login_template = "admin/accounts/login.html"


class StaffPasswordResetForm(PasswordResetForm):
    """Queues the mail, so that the response does not reveal whether the account exists."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].widget = TextWidget(attrs={"autocomplete": "email"})

    def save(self, *args: Any, **kwargs: Any) -> None:
        email = canonical_address(self.cleaned_data["email"])
        ip = rate_limits.client_ip(kwargs["request"])
        if not rate_limits.hit_mailbox(email, ip):
            tasks.queue_mail(AccountMail.Kind.STAFF_PASSWORD, email)


class StaffSetPasswordForm(SetPasswordForm):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = PasswordWidget(
                attrs={"autocomplete": "new-password"}
            )


class AdminPageMixin:
    """The admin's context for Django's password views."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        request: HttpRequest = self.request  # type: ignore[attr-defined]
        return {**admin.site.each_context(request), **context}


class StaffPasswordResetView(AdminPageMixin, auth_views.PasswordResetView):
    form_class = StaffPasswordResetForm
    template_name = "admin/accounts/password_reset.html"
    success_url = reverse_lazy("admin:password_reset_done")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if retry_after_s := rate_limits.hit_form(request):
            form = self.get_form()
            form.add_error(
                None, "Too many requests from your network. Try again later."
            )
            response = self.form_invalid(form)
            response.status_code = 429
            response.headers["Retry-After"] = str(retry_after_s)
            return response
        return super().post(request, *args, **kwargs)


class StaffPasswordResetDoneView(AdminPageMixin, auth_views.PasswordResetDoneView):
    template_name = "admin/accounts/password_reset_done.html"


class StaffSetPasswordView(AdminPageMixin, auth_views.PasswordResetConfirmView):
    form_class = StaffSetPasswordForm
    template_name = "admin/accounts/set_password.html"
    success_url = reverse_lazy("admin:login")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password was set. You can sign in now.")
        return super().form_valid(form)


class NewEditorForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["usable_password"].initial = "false"
        self.fields[
            "usable_password"
        ].help_text = "If disabled, we email them an invitation to choose a password."


@admin.register(User)
class EditorAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = NewEditorForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("email", "name", "is_staff", "is_superuser", "is_active")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    actions = ("mail_password_link", "reset_two_factor")
    filter_horizontal = ("groups", "user_permissions")
    readonly_fields = ("two_factor_at", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "name", "password", "two_factor_at")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Mails", {"fields": ("weekly_report",)}),
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

    def get_urls(self) -> list[URLPattern]:
        two_factor = self.admin_site.admin_view(self.two_factor_view)
        report = self.admin_site.admin_view(self.weekly_report_view)
        return [
            path("two-factor/", two_factor, name="accounts_user_two_factor"),
            path("weekly-report/", report, name="accounts_user_weekly_report"),
            path(
                "password-reset/",
                StaffPasswordResetView.as_view(),
                name="admin_password_reset",
            ),
            path(
                "password-reset/done/",
                StaffPasswordResetDoneView.as_view(),
                name="password_reset_done",
            ),
            path(
                "set-password/<str:token>/<str:uidb64>/",
                StaffSetPasswordView.as_view(),
                name="set_password",
            ),
            *super().get_urls(),
        ]

    def save_model(
        self, request: HttpRequest, obj: User, form: Any, change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if not change and not obj.has_usable_password():
            tasks.queue_mail(AccountMail.Kind.STAFF_PASSWORD, obj.email)
            messages.success(request, f"We emailed an invitation to {obj.email}.")

    @admin.action(
        description="Email a link to set the password", permissions=["change"]
    )
    def mail_password_link(
        self, request: HttpRequest, queryset: QuerySet[User]
    ) -> None:
        for user in queryset:
            tasks.queue_mail(AccountMail.Kind.STAFF_PASSWORD, user.email)
            self.log_change(request, user, "Emailed a link to set the password.")
        messages.success(request, f"Emailing {len(queryset)} links.")

    @admin.action(
        description="Turn off two-factor authentication", permissions=["change"]
    )
    def reset_two_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        if not request.user.is_superuser:
            raise PermissionDenied
        for user in queryset:
            staff_sign_in.turn_off_two_factor(request, user)
            self.log_change(request, user, "Turned off two-factor authentication.")
        messages.success(
            request,
            f"Turned off two-factor authentication of {len(queryset)} accounts.",
        )

    def two_factor_view(self, request: HttpRequest) -> HttpResponse:
        user = User.objects.get(email=request.user.get_username())
        is_on = user.two_factor_at is not None
        form = CodeForm(request.POST or None)
        recovery_codes = None
        if form.is_valid():
            code = form.cleaned_data["code"]
            if is_on and staff_sign_in.verify_code(user, code):
                staff_sign_in.turn_off_two_factor(request, user)
                messages.success(request, "Two-factor authentication is off.")
                return redirect("admin:accounts_user_two_factor")
            if not is_on:
                recovery_codes = staff_sign_in.turn_on_two_factor(request, user, code)
            if not recovery_codes:
                form.add_error("code", "This code is not correct or was already used.")
        context = {
            **self.admin_site.each_context(request),
            "title": "Two-factor authentication",
            "form": form,
            "is_on": is_on,
            "recovery_codes": recovery_codes,
        }
        if not is_on and not recovery_codes:
            url = staff_sign_in.pending_device(user).config_url
            context |= {"config_url": url, "qr_code": qr_code(url)}
        return TemplateResponse(request, "admin/accounts/two_factor.html", context)

    def weekly_report_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows whether the signed-in person gets the weekly report; POST changes it."""
        user = User.objects.get(email=request.user.get_username())
        if request.method == "POST":
            user.weekly_report = not user.weekly_report
            user.save(update_fields=["weekly_report"])
            verb = "Started" if user.weekly_report else "Stopped"
            self.log_change(request, user, f"{verb} the weekly report.")
            messages.success(request, f"{verb} the weekly report to {user.email}.")
            return redirect("admin:accounts_user_weekly_report")
        context = {
            **self.admin_site.each_context(request),
            "title": "Weekly report",
            "is_on": user.weekly_report,
        }
        return TemplateResponse(request, "admin/accounts/weekly_report.html", context)


def qr_code(text: str) -> str:
    return str(segno.make(text).svg_data_uri(scale=4))


@admin.register(Group)
class EditorGroupAdmin(GroupAdmin, ModelAdmin):
    """Groups, with the theme of the other admin pages."""


@admin.register(LogEntry)
class HistoryAdmin(ReadOnlyAdmin):
    """Who did what: every change that staff made in the admin, newest first."""

    list_display = ("action_time", "user", "content_type", "object_repr", "what")
    list_display_links = ("action_time",)
    list_filter = ("action_flag", ("user", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message")
    search_help_text = "Words of the object or the change"
    ordering = ("-pk",)
    fields = ("action_time", "user", "content_type", "object_id", "object_repr", "what")
    readonly_fields = ("what",)

    @admin.display(description="change")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message() or str(entry.get_action_flag_display())

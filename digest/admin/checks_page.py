"""The page of `manage.py doctor` in the admin."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from digest import doctor


def checks_view(request: HttpRequest) -> HttpResponse:
    """Show the checks; POST runs them, because they connect to other servers."""
    if not request.user.has_perm("digest.change_sendingpause"):
        raise PermissionDenied
    findings = list(doctor.diagnose()) if request.method == "POST" else []
    context = {
        **admin.site.each_context(request),
        "title": "Checks",
        "findings": findings,
    }
    return render(request, "admin/checks.html", context, using="django")

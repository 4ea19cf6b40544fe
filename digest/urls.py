"""URL configuration of the site, and the registration of the admin that it serves."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

# These modules register their models. Only a process that resolves URLs loads them:
# commands and workers start without the admin.
from digest.admin import (  # noqa: F401
    candidates,
    editions,
    experiments,
    papers,
    reader_imports,
    readers,
    runs,
    sending,
    submissions,
    topics,
)

admin.autodiscover()  # Django's own admins and accounts.admin

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("digest.site.urls")),
]

handler403 = "digest.site.errors.permission_denied"
handler404 = "digest.site.errors.not_found"
handler500 = "digest.site.errors.server_error"

"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("digest.site.urls")),
]

handler403 = "digest.site.errors.refused"
handler404 = "digest.site.errors.not_found"
handler500 = "digest.site.errors.broken"

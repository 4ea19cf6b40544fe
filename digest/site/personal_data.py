"""The pages on which readers export and erase their data."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Link
from digest.reader_data import export_data
from digest.site.link_access import preferences_link_required


@require_http_methods(["GET", "HEAD", "POST"])
@preferences_link_required
def erase(request: HttpRequest, link: Link) -> HttpResponse:
    if request.method == "POST":
        link.subscriber.delete()
        return render(request, "pages/erased.html")
    context = {"key": link.key, "subscriber": link.subscriber}
    return render(request, "pages/erase.html", context)


@require_safe
@preferences_link_required
def export(request: HttpRequest, link: Link) -> HttpResponse:
    data = export_data(link.subscriber)
    response = JsonResponse(data, json_dumps_params={"indent": 2})
    response["Content-Disposition"] = 'attachment; filename="my-paper-round.json"'
    return response

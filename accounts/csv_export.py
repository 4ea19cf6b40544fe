"""CSV of any list of the admin, streamed, without cells that spreadsheets run as formulas."""

import csv
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from typing import Any

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.utils import label_for_field, lookup_field
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.safestring import SafeString

from accounts.reader_import import neutralise_formula

CHUNK_ROWS = 2_000


class Echo:
    """A file for csv.writer, which returns each row instead of storing it."""

    def write(self, text: str) -> str:
        return text


def stream_csv(
    file_name: str, header: Iterable[str], rows: Iterable[Iterable[object]]
) -> StreamingHttpResponse:
    """Respond with CSV that spreadsheets open without running a cell as a formula."""
    writer = csv.writer(Echo())

    def lines() -> Iterator[str]:
        yield "\ufeff"  # Excel reads UTF-8 by its byte order mark
        for row in chain([header], rows):
            yield writer.writerow([neutralise_formula(str(cell)) for cell in row])

    response = StreamingHttpResponse(lines(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{file_name}"'
    return response


@admin.action(description="Export as CSV", permissions=["view"])
def export_csv(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]
) -> StreamingHttpResponse:
    """Stream the columns of the list for these rows, and record in the history how many.

    Registered for all lists; a list with an action of this name has its own.
    """
    opts, names = queryset.model._meta, model_admin.get_list_display(request)
    assert request.user.pk  # the admin requires staff
    LogEntry.objects.create(
        user_id=request.user.pk,
        content_type=ContentType.objects.get_for_model(queryset.model),
        object_repr=str(opts.verbose_name_plural).capitalize(),
        action_flag=CHANGE,
        change_message=f"Exported {queryset.count():,} rows as CSV.",
    )
    header = [
        str(label_for_field(name, queryset.model, model_admin))
        if name != "__str__"
        else str(opts.verbose_name)
        for name in names
    ]
    rows = (
        [format_cell(name, row, model_admin) for name in names]
        for row in queryset.iterator(CHUNK_ROWS)
    )
    file_name = f"{str(opts.verbose_name_plural).replace(' ', '-')}.csv"
    return stream_csv(file_name, header, rows)


def format_cell(name: str, row: Any, model_admin: Any) -> str:
    """The value of a column as text: choices by their label, times in the site's zone."""
    field, _, value = lookup_field(name, row, model_admin)
    if field and getattr(field, "flatchoices", None):
        value = dict(field.flatchoices).get(value, value)
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat(sep=" ", timespec="seconds")
    if isinstance(value, SafeString):
        return strip_tags(value)
    return "" if value is None else str(value)


admin.site.add_action(export_csv)

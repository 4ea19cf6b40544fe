"""The template tag `door`: a link into the control room, for those who may open it."""

from typing import Any
from urllib.parse import urlencode

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag(takes_context=True)
def door(
    context: Context,
    content: SafeString,
    row: str,
    css: str = "",
    pk: int | None = None,
    **asked: Any,
) -> SafeString:
    """`{% door "digest.batch" "plain" state__exact="sending" %}3 in hand{% enddoor %}`.

    Leads to the list of these rows, as asked, or to the one with this `pk`; without the
    permission to view them its text is only shown.
    """
    app, name = row.split(".")
    if not context["request"].user.has_perm(f"{app}.view_{name}"):
        return format_html('<span class="{}">{}</span>', css, content)
    page, named = ("changelist", []) if pk is None else ("change", [pk])
    there = reverse(f"admin:{app}_{name}_{page}", args=named)
    address = f"{there}?{urlencode(asked)}" if asked else there
    return format_html('<a class="{}" href="{}">{}</a>', css, address, content)

"""The template tag `admin_link`: a link into the admin for users who may view its target."""

from typing import Any
from urllib.parse import urlencode

from django import template
from django.template import Context
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_block_tag(takes_context=True)
def admin_link(
    context: Context,
    content: SafeString,
    model: str,
    css: str = "",
    pk: int | None = None,
    **filters: Any,
) -> SafeString:
    """`{% admin_link "digest.batch" "plain" state__exact="sending" %}3 sending{% endadmin_link %}`.

    Link to the filtered list of `model`, or to the row with this `pk`. Without the
    permission to view the model, render the text alone.
    """
    app, name = model.split(".")
    if not context["request"].user.has_perm(f"{app}.view_{name}"):
        return format_html('<span class="{}">{}</span>', css, content)
    page, arguments = ("changelist", []) if pk is None else ("change", [pk])
    url = reverse(f"admin:{app}_{name}_{page}", args=arguments)
    if filters:
        url += f"?{urlencode(filters)}"
    return format_html('<a class="{}" href="{}">{}</a>', css, url, content)

"""The group of editors: may curate, sees no readers; what an operator changes in it stays."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

EDITORS = "Editors"
# What curating needs. Readers and their addresses are not among it: who answers
# readers is given those permissions beside the group.
CURATING = {
    "edition": ("view", "change"),
    "candidate": ("view", "change"),
    "topic": ("view", "add", "change", "delete"),
    "paper": ("view", "change"),
    "recall": ("view", "add", "delete"),
    "submission": ("view", "change"),
    "interest": ("view",),
    "ingestrun": ("view",),
}


def curating() -> QuerySet[Permission]:
    """The permissions that curating needs, as far as their tables are there."""
    names = [f"{act}_{row}" for row, acts in CURATING.items() for act in acts]
    return Permission.objects.filter(
        content_type__app_label="digest", codename__in=names
    )


def make_group() -> bool:
    """Make it where there is none; whether that was so."""
    group, is_new = Group.objects.get_or_create(name=EDITORS)
    if is_new:
        group.permissions.set(curating())
    return is_new


def complete_group(app_config: AppConfig, **told: Any) -> None:
    """Give a group that is there what this release brings, after its migrations.

    Only that: what an operator took from it, or added to it, was there before.
    """
    before = set(curating().values_list("pk", flat=True))
    create_permissions(app_config, **told)
    if group := Group.objects.filter(name=EDITORS).first():
        group.permissions.add(*curating().exclude(pk__in=before))

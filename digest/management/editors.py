"""The group of editors, who curate editions without access to readers."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

EDITOR_GROUP = "Editors"
# Without readers and their addresses: staff who answer readers get those permissions
# beside the group.
CURATION_PERMISSIONS = {
    "edition": ("view", "change"),
    "candidate": ("view", "change"),
    "topic": ("view", "add", "change", "delete"),
    "paper": ("view", "change"),
    "recall": ("view", "add", "delete"),
    "submission": ("view", "change"),
    "interest": ("view",),
    "ingestrun": ("view",),
}


def curation_permissions() -> QuerySet[Permission]:
    """Permissions of the editor group whose tables exist already."""
    names = [
        f"{act}_{row}" for row, acts in CURATION_PERMISSIONS.items() for act in acts
    ]
    return Permission.objects.filter(
        content_type__app_label="digest", codename__in=names
    )


def create_editor_group() -> bool:
    """Create the group if it is missing; return whether it was."""
    group, is_new = Group.objects.get_or_create(name=EDITOR_GROUP)
    if is_new:
        group.permissions.set(curation_permissions())
    return is_new


def grant_new_permissions(app_config: AppConfig, **options: Any) -> None:
    """Grant the permissions of tables that a release adds, after its migrations.

    Permissions that an operator revoked existed before, so they stay revoked.
    """
    before = set(curation_permissions().values_list("pk", flat=True))
    create_permissions(app_config, **options)
    if group := Group.objects.filter(name=EDITOR_GROUP).first():
        group.permissions.add(*curation_permissions().exclude(pk__in=before))

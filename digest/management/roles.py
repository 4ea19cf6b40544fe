"""The roles of staff: groups of editors and operators; administrators are superusers."""

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

EDITOR_GROUP, OPERATOR_GROUP = "Editors", "Operators"

# What each role may do, by app and model. Editors see no reader and no address: they curate,
# preview made-up profiles, send tests to themselves, invite readers and repeat ingest runs.
# Operators send, look after readers and run experiments. Staff accounts, groups and topics'
# deletion are for administrators
# and editors respectively; a person may be in both groups.
ROLE_PERMISSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    EDITOR_GROUP: {
        "digest.edition": ("view", "change"),
        "digest.candidate": ("view", "change"),
        "digest.topic": ("view", "add", "change", "delete"),
        "digest.paper": ("view", "change"),
        "digest.recall": ("view", "add", "delete"),
        "digest.submission": ("view", "change"),
        "digest.interest": ("view",),
        "digest.ingestrun": ("view", "add"),
        "accounts.subscriber": ("invite",),
        "digest.experiment": ("view",),
        "digest.rankingsetting": ("view",),
    },
    OPERATOR_GROUP: {
        "accounts.subscriber": ("view", "change", "delete", "invite"),
        "accounts.suppression": ("view", "add", "delete"),
        "accounts.accountmail": ("view", "change"),
        "accounts.readerimport": ("view", "add", "change"),
        "admin.logentry": ("view",),
        "digest.edition": ("view", "change"),
        "digest.candidate": ("view",),
        "digest.paper": ("view",),
        "digest.recall": ("view", "add", "delete"),
        "digest.follow": ("view",),
        "digest.interest": ("view",),
        "digest.ingestrun": ("view", "add"),
        "digest.digest": ("view", "change"),
        "digest.batch": ("view",),
        "digest.slot": ("view",),
        "digest.event": ("view",),
        "digest.foreigneventcount": ("view",),
        "digest.sendingpause": ("view", "add", "change"),
        "digest.embeddingmodel": ("view",),
        "digest.experiment": ("view", "add", "change", "delete"),
        "digest.rankingsetting": ("view", "add", "change", "delete"),
    },
}


def role_permissions(role: str, app_label: str | None = None) -> QuerySet[Permission]:
    """Permissions of a role whose tables exist already, of one app if given."""
    matches = Q(pk__in=[])
    for model, acts in ROLE_PERMISSIONS[role].items():
        app, name = model.split(".")
        if app_label in (None, app):
            names = [f"{act}_{name}" for act in acts]
            matches |= Q(content_type__app_label=app, codename__in=names)
    return Permission.objects.filter(matches)


def create_groups() -> list[str]:
    """Create the groups that are missing, with their permissions; return their names."""
    created = []
    for role in ROLE_PERMISSIONS:
        group, is_new = Group.objects.get_or_create(name=role)
        if is_new:
            group.permissions.set(role_permissions(role))
            created.append(role)
    return created


def grant_new_permissions(app_config: AppConfig, **options: Any) -> None:
    """Grant the permissions of tables that a release adds, after its migrations.

    Permissions that an operator revoked existed before, so they stay revoked.
    """
    roles = {
        role: set(role_permissions(role, app_config.label).values_list("pk", flat=True))
        for role in ROLE_PERMISSIONS
    }
    create_permissions(app_config, **options)
    for role, before in roles.items():
        if group := Group.objects.filter(name=role).first():
            new = role_permissions(role, app_config.label).exclude(pk__in=before)
            group.permissions.add(*new)

"""Identifiers that every log line of a request or task carries."""

import re
import secrets
from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import task_postrun, task_prerun
from django.http import HttpRequest, HttpResponse

# What a proxy may send; anything else is replaced.
REQUEST_ID = re.compile(r"[\w.-]{8,64}", re.ASCII)


class RequestLogMiddleware:
    """Bind the id of the request, from the proxy's X-Request-ID or new."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_urlsafe(9)
        with structlog.contextvars.bound_contextvars(request=request_id):
            return self.get_response(request)


@task_prerun.connect
def bind_task(task_id: str, task: Any, **_: Any) -> None:
    name = task.name.removeprefix("digest.tasks.")
    structlog.contextvars.bind_contextvars(task=name, task_id=task_id[:8])


@task_postrun.connect
def unbind_task(**_: Any) -> None:
    structlog.contextvars.unbind_contextvars("task", "task_id")

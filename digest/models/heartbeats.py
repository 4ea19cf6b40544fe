"""Heartbeats: when beat enqueued, and when the workers of each queue ran, a task."""

from datetime import datetime, timedelta

from django.db import models

BEAT = "beat"


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def record(self, name: str, now: datetime) -> None:
        self.update_or_create(name=name, defaults={"at": now})

    def is_late(self, name: str, now: datetime, max_age: timedelta) -> bool:
        return not self.filter(name=name, at__gt=now - max_age).exists()


class Heartbeat(models.Model):
    """The last sign of life of beat, or of the workers of a queue."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.name}, {self.at}"


def worker_heartbeat(queue: str) -> str:
    return f"worker {queue}"

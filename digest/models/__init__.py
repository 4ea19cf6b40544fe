"""The corridor itself: the rows that one room writes and the next one reads."""

from digest.models.brought import Asked, Submission, Wanted
from digest.models.digests import (
    Batch,
    Digest,
    Pick,
    Slot,
    decode_picks,
    encode_picks,
    moved_since,
)
from digest.models.editions import CURATED, Candidate, Edition, Frozen, Recall
from digest.models.events import Event
from digest.models.papers import Paper, Signal
from digest.models.pauses import Pause
from digest.models.runs import IngestRun
from digest.models.topics import Follow, Interest, Topic
from digest.models.vectors import VectorModel

__all__ = [
    "CURATED",
    "Asked",
    "Batch",
    "Candidate",
    "Digest",
    "Edition",
    "Event",
    "Follow",
    "Frozen",
    "IngestRun",
    "Interest",
    "Paper",
    "Pause",
    "Pick",
    "Recall",
    "Signal",
    "Slot",
    "Submission",
    "Topic",
    "VectorModel",
    "Wanted",
    "decode_picks",
    "encode_picks",
    "moved_since",
]

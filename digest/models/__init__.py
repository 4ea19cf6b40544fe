"""The corridor itself: the rows that one room writes and the next one reads."""

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
from digest.models.embedding_models import VectorModel
from digest.models.events import Event
from digest.models.ingest_runs import IngestRun
from digest.models.papers import Paper, Signal
from digest.models.reader_requests import Asked, Submission, Wanted
from digest.models.sending_pauses import Pause
from digest.models.topics import Follow, Interest, Topic

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

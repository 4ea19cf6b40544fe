"""Rows of the pipeline, in its order; each module has the QuerySets of its models."""

from digest.models.digests import (
    Batch,
    Digest,
    Pick,
    Slot,
    decode_picks,
    encode_picks,
    moved_since,
)
from digest.models.editions import (
    CURATED,
    Candidate,
    CurationStep,
    Edition,
    Frozen,
    Recall,
)
from digest.models.events import Event, ForeignEventCount
from digest.models.experiments import Experiment, RankingSetting
from digest.models.ingest_runs import IngestRun
from digest.models.operations import DailyFigures, Heartbeat, SendingPause
from digest.models.papers import (
    AttentionSample,
    EmbeddingModel,
    Paper,
    PaperThumbnail,
)
from digest.models.reader_requests import PendingPaper, Submission, SubmissionRequest
from digest.models.saved_papers import SavedPaper
from digest.models.search_entries import SearchEntry, SearchWord
from digest.models.topics import (
    ExampleGroups,
    Follow,
    Interest,
    Topic,
    TopicFigures,
)

__all__ = [
    "CURATED",
    "AttentionSample",
    "Batch",
    "Candidate",
    "CurationStep",
    "DailyFigures",
    "Digest",
    "Edition",
    "EmbeddingModel",
    "Event",
    "ExampleGroups",
    "Experiment",
    "Follow",
    "ForeignEventCount",
    "Frozen",
    "Heartbeat",
    "IngestRun",
    "Interest",
    "Paper",
    "PaperThumbnail",
    "PendingPaper",
    "Pick",
    "RankingSetting",
    "Recall",
    "SavedPaper",
    "SearchEntry",
    "SearchWord",
    "SendingPause",
    "Slot",
    "Submission",
    "SubmissionRequest",
    "Topic",
    "TopicFigures",
    "decode_picks",
    "encode_picks",
    "moved_since",
]

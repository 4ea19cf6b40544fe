"""Fixtures for ingest: sources on loopback, and no pauses between requests."""

import pytest

from digest.ingest.sources import http, throttle
from tests.ingest.fake_sources import Sources


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Wait as briefly as a test may; test_throttle tests the real pauses."""
    monkeypatch.setattr(http, "RETRY_PAUSE_S", 0.01)
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)


@pytest.fixture
def sources(httpserver, settings):
    """arXiv and Hugging Face on loopback, without papers."""
    return Sources(httpserver, settings)

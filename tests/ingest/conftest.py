"""The sources on this machine, and nobody's three seconds."""

import pytest

from digest.ingest.sources import http, throttle
from tests.ingest.fake_sources import Sources


@pytest.fixture(autouse=True)
def brisk(monkeypatch):
    """Wait as briefly as a test may; test_manners asks for the real pauses."""
    monkeypatch.setattr(http, "RETRY_PAUSE_S", 0.01)
    monkeypatch.setattr(throttle, "MIN_REQUEST_GAP_S", 0.0)


@pytest.fixture
def sources(httpserver, settings):
    """arXiv and Hugging Face on loopback, telling nothing yet."""
    return Sources(httpserver, settings)

"""Fixtures of sending: mails become files, or go to a provider that answers as a test wants."""

import pytest

from digest.mailer import call_journal, transports
from tests.mailer.sending import Provider


@pytest.fixture
def provider(monkeypatch):
    """Create a provider with these answers by address and make it the transport."""

    def create_provider(answers=()):
        created = Provider(answers)
        monkeypatch.setattr(transports, "get_transport", lambda: created)
        return created

    return create_provider


@pytest.fixture
def without_journal(monkeypatch):
    """As on another machine, or after a power failure."""
    monkeypatch.setattr(call_journal, "read_boot_id", lambda: b"")


@pytest.fixture(autouse=True)
def mails(tmp_path, settings):
    """The folder of the files transport."""
    settings.MAIL_DIR = tmp_path / "mail"
    settings.MAIL_DIR.mkdir()
    return settings.MAIL_DIR

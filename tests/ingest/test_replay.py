"""Recorded weeks convert to feeds that the parser reads."""

from collections import Counter

from digest.ingest.sources import arxiv_feed
from tests import replay
from tests.conftest import DATA, needs_data


@needs_data
def test_eighteen_recorded_days_come_out_as_feeds_of_the_four_kinds():
    archive = DATA / "replay" / "raw_daily_wanzhouliu_18days.tar.gz"

    feeds = {
        day: arxiv_feed.parse(document).listings
        for day, document in replay.recorded_feeds(archive)
    }

    kinds = Counter(
        listing.announce_type for feed in feeds.values() for listing in feed
    )
    assert len(feeds) == 18
    assert sum(not feed for feed in feeds.values()) == 6
    assert kinds == {"new": 1323, "cross": 234, "replace": 772, "replace-cross": 180}
    assert all(
        listing.announced_on == day for day, feed in feeds.items() for listing in feed
    )


@needs_data
def test_days_of_one_paper_a_line_come_out_as_feeds_too():
    archive = next((DATA / "replay").glob("raw_daily_dw-dengwei*"))

    sizes = [
        len(arxiv_feed.parse(document).listings)
        for _, document in replay.recorded_feeds(archive)
    ]

    assert (len(sizes), sum(sizes)) == (38, 7758)

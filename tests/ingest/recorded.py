"""Where the invented payloads of the sources lie."""

from tests.conftest import ROOT

ARXIV = ROOT / "tests" / "recorded" / "arxiv"
HUGGINGFACE = ROOT / "tests" / "recorded" / "huggingface"
ATOM = ARXIV / "announcements.atom.xml"
RSS = ARXIV / "announcements.rss.xml"
WEEKEND = ARXIV / "weekend.rss.xml"
QUERY = ARXIV / "query.atom.xml"
DAY_2026 = HUGGINGFACE / "2026-11-20.json"
DAY_2025 = HUGGINGFACE / "2025-01-15.json"
OAI = ROOT / "tests" / "recorded" / "oai"
OAI_RAW = OAI / "raw_page.xml"
OAI_ARXIV = OAI / "arxiv_last_page.xml"
OAI_DC = OAI / "dublin_core.xml"
PAPERS = ARXIV / "papers.api.xml"

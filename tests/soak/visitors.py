"""Visitors of the site: `python -m tests.soak.visitors URL NUMBER PAUSE FOLDER`.

Each visitor has a connection of its own, reads a page and pauses. FOLDER/keys holds the
keys of recent digests, one a line. The figures are written to FOLDER/visits.json every
second: per page the number of answers by status and their times.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import httpx

TIMEOUT_S = 60
SEARCHES = ("quantization", "attention", "retrieval", "privacy", "speech robots")


class Visits:
    def __init__(self, url, pause, folder):
        self.host, self.pause, self.folder = urlsplit(url).netloc, pause, folder
        self.statuses, self.times = defaultdict(Counter), defaultdict(list)
        self.failures = []  # (time, page, status) of server errors
        self.random = random.Random(1)

    async def visit(self, number):
        # An address of its own for each visitor: rate limits are by network.
        source = f"127.{number % 250 + 1}.{number // 250 + 1}.1"
        transport = httpx.AsyncHTTPTransport(local_address=source)
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{urlsplit(f'//{self.host}').port}",
            headers={"Host": self.host},
            transport=transport,
            timeout=TIMEOUT_S,
        ) as client:
            while True:
                await asyncio.sleep(self.random.uniform(0, 2 * self.pause))
                page, path = self.choose_page()
                await self.read(client, page, path)

    def choose_page(self):
        query = self.random.choice(SEARCHES)
        pages = [
            ("home", "/"),
            ("trending", "/papers/trending"),
            ("search", f"/papers?q={quote_plus(query)}"),
            ("topics", "/topics"),
            ("feed", "/feeds/papers.atom"),
            ("api", "/api/daily_papers?limit=20"),
            ("sign-up form", "/subscribe"),
        ]
        keys = self.folder / "keys"
        if keys.exists() and (lines := keys.read_text().split()):
            key = self.random.choice(lines)
            pages += [
                ("digest", f"/d/{key}"),
                ("click", f"/d/{key}/1/paper"),
                ("opinion", f"/d/{key}/1/more"),
            ]
        return self.random.choice(pages)

    async def read(self, client, page, path):
        started = time.monotonic()
        try:
            status = (await client.get(path)).status_code
        except httpx.HTTPError as error:
            status = type(error).__name__
        self.times[page].append(time.monotonic() - started)
        self.statuses[page][str(status)] += 1
        if not isinstance(status, int) or status >= 500:
            self.failures.append((started, page, status))

    async def report(self):
        file = self.folder / "visits.json"
        while True:
            await asyncio.sleep(1)
            draft = file.with_suffix(".new")
            draft.write_text(json.dumps(self.figures()))
            draft.replace(file)

    def figures(self):
        every_time = [each for times in self.times.values() for each in times]
        return {
            "pages": {
                page: {"answers": dict(self.statuses[page]), **percentiles(times)}
                for page, times in sorted(self.times.items())
            },
            "all": {"answers": len(every_time), **percentiles(every_time)},
            "failures": self.failures,
        }


def percentiles(times):
    ordered = sorted(times) or [0.0]
    return {
        f"{name}_ms": round(
            1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]
        )
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1))
    }


async def main(url, number, pause, folder):
    visits = Visits(url, float(pause), Path(folder))
    await asyncio.gather(visits.report(), *map(visits.visit, range(int(number))))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

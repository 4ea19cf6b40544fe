"""What editors see beside the candidates: the topics of papers, and the digests of typical readers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from django.core.cache import cache

from digest.models import Candidate, Edition, Follow, Interest, Topic
from digest.ranking import choose, edition_index
from digest.ranking.relevance import InterestQuery
from digest.reasons import Reason, load_names, reason_for

TYPICAL_READERS = 10
# The newest follows of topics: enough to know which ones are followed together.
MAX_SAMPLED_FOLLOWS = 20_000
PROFILES_CACHED_S = 3_600
# How long the topics of an edition's papers are reused while nothing is ranked or curated.
TOPICS_CACHED_S = 60


@dataclass(frozen=True)
class Profile:
    """A made-up reader: the topics that they follow, by slug and name."""

    slugs: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def label(self) -> str:
        return " and ".join(self.names) or "No interests: trending papers"

    @property
    def interests(self) -> list[Interest]:
        kind = Interest.Kind.TOPIC
        return [Interest(kind=kind, value=slug) for slug in self.slugs]


@dataclass(frozen=True)
class PreviewedPick:
    candidate: Candidate
    reason: Reason


@dataclass(frozen=True)
class PreviewedDigest:
    profile: Profile
    picks: list[PreviewedPick]


def load_topic_matches(edition: Edition, now: datetime) -> dict[str, frozenset[int]]:
    """The ids of the candidates that match each listed topic, by its slug; corrections count."""
    last_step = edition.curation_steps.values_list("pk", flat=True).first()
    period = int(now.timestamp()) // TOPICS_CACHED_S
    return _read_topic_matches(edition.pk, edition.ranked_at, last_step, period)


@lru_cache(maxsize=4)
def _read_topic_matches(
    edition_id: int, ranked_at: datetime | None, last_step: int | None, period: int
) -> dict[str, frozenset[int]]:
    slugs = list(Topic.objects.filter(is_listed=True).values_list("slug", flat=True))
    index = edition_index.load_index(Edition.objects.get(pk=edition_id))
    interests = [Interest(kind=Interest.Kind.TOPIC, value=slug) for slug in slugs]
    claimed = index.match(edition_index.build_queries(interests)).claimed
    return {
        slug: frozenset(index.candidates[i] for i in row.nonzero()[0].tolist())
        for slug, row in zip(slugs, claimed, strict=True)
    }


@dataclass(frozen=True)
class TopicMatches:
    """The candidates that a topic would match: their number, and the best ones by relevance."""

    number: int
    best: list[Candidate]


def match_topic(
    edition: Edition, topic: Topic, examples: Sequence[str], size: int
) -> TopicMatches:
    """Match a topic that need not be stored, with example papers by their identifiers."""
    index = edition_index.load_index(edition)
    query = InterestQuery(
        kind=Interest.Kind.TOPIC,
        value=topic.name,
        description=topic.description,
        keywords=tuple(topic.keywords),
        categories=tuple(topic.categories),
        examples=tuple(edition_index.load_texts(examples).values()),
    )
    matches = index.match([query])
    columns = matches.claimed[0].nonzero()[0]
    order = columns[(-matches.relevance[0][columns]).argsort(kind="stable")][:size]
    ids = [index.candidates[column] for column in order.tolist()]
    rows = Candidate.objects.select_related("paper").defer(
        "paper__vector", "paper__dense_vector"
    )
    by_id = rows.in_bulk(ids)
    return TopicMatches(len(columns), [by_id[pk] for pk in ids if pk in by_id])


def typical_profiles() -> list[Profile]:
    """Ten made-up readers: one without interests, and followers of the most followed topics.

    Each topic comes with the one that is most often followed with it. Without readers, the
    first topics of the list take their place.
    """
    key = "editor_preview.typical_profiles"
    profiles: list[Profile] | None = cache.get(key)
    if profiles is None:
        profiles = build_profiles(_sample_follows())
        cache.set(key, profiles, PROFILES_CACHED_S)
    return profiles


def build_profiles(follows: Sequence[tuple[int, str]]) -> list[Profile]:
    """Build the profiles from (reader, slug) pairs."""
    names = dict(Topic.objects.filter(is_listed=True).values_list("slug", "name"))
    by_reader: dict[int, set[str]] = {}
    for reader, slug in follows:
        if slug in names:
            by_reader.setdefault(reader, set()).add(slug)
    followers = Counter(slug for slugs in by_reader.values() for slug in slugs)
    ranked = sorted(names, key=lambda slug: -followers[slug])
    profiles = [Profile((), ())]
    for slug in ranked[: TYPICAL_READERS - 1]:
        together = Counter(
            other for slugs in by_reader.values() if slug in slugs for other in slugs
        )
        del together[slug]
        chosen = (slug, *(other for other, _ in together.most_common(1)))
        profiles.append(Profile(chosen, tuple(names[slug] for slug in chosen)))
    return profiles


def _sample_follows() -> list[tuple[int, str]]:
    rows = Follow.objects.filter(interest__kind=Interest.Kind.TOPIC, weight__gt=0)
    newest = rows.order_by("-pk").values_list("subscriber_id", "interest__value")
    return list(newest[:MAX_SAMPLED_FOLLOWS])


def preview_profile(edition: Edition, profile: Profile) -> PreviewedDigest:
    """Choose what a made-up reader would get now, with the reasons of the mail."""
    rows = choose.preview(edition, profile.interests)
    names = load_names([interest for _, interest, _ in rows if interest])
    picks = [
        PreviewedPick(candidate, reason_for(candidate, interest, names, near=near))
        for candidate, interest, near in rows
    ]
    return PreviewedDigest(profile, picks)

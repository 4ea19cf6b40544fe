"""Topics of papers: which listed topics each candidate of an edition may be claimed for.

Lists, feeds and the API filter by these rows, so no page scores papers by itself.
"""

import numpy as np

from digest.models import Edition, Interest, Paper, Topic
from digest.ranking import edition_index

PaperTopic = Paper.topics.through


def store_paper_topics(edition: Edition) -> int:
    """Store the topics of the edition's papers; return how many rows were added or deleted."""
    index = edition_index.load_index(edition)
    topics = list(Topic.objects.filter(is_listed=True))
    interests = [Interest(kind=Interest.Kind.TOPIC, value=t.slug) for t in topics]
    claimed = index.match(edition_index.build_queries(interests)).claimed
    current = {
        (index.papers[column], topics[row].pk)
        for row, column in np.argwhere(claimed).tolist()
    }
    rows = PaperTopic.objects.filter(paper__candidacies__edition=edition)
    stored = {(p, t): pk for pk, p, t in rows.values_list("pk", "paper_id", "topic_id")}
    stale = [pk for pair, pk in stored.items() if pair not in current]
    new = [PaperTopic(paper_id=p, topic_id=t) for p, t in sorted(current - {*stored})]
    for ids in edition_index.split_ids(stale):
        PaperTopic.objects.filter(pk__in=ids).delete()
    PaperTopic.objects.bulk_create(new, batch_size=1_000, ignore_conflicts=True)
    return len(stale) + len(new)

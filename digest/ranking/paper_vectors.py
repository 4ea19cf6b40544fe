"""The vectors of all indexed papers in memory, read once and then only what is new."""

from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from django.db.models import Max

from digest.models import SearchEntry
from digest.ranking.lsa import LsaModel, Rows

Ids = npt.NDArray[np.int64]

_READ_CHUNK = 20_000
_lock = Lock()
_cached: "list[PaperVectors]" = []


@dataclass(frozen=True, eq=False)
class PaperVectors:
    """Centered rows [n, d] of the papers `ids`, ascending, up to a search entry."""

    version: str
    last_entry: int
    ids: Ids
    rows: Rows

    def cosines(self, row: Rows) -> npt.NDArray[np.float64]:
        """The cosine of every paper, rounded so that equal papers tie on every machine."""
        return np.asarray(self.rows @ row, np.float64).round(6)

    def sort_by_cosine(self, paper_ids: list[int], row: Rows) -> list[int]:
        """Sort papers by cosine, then by id; those without a vector come last."""
        wanted = np.array(paper_ids, np.int64)
        if not wanted.size:
            return []
        places = np.searchsorted(self.ids, wanted).clip(0, max(self.ids.size - 1, 0))
        scores = np.full(wanted.size, -1.0)
        if self.ids.size:
            is_stored = self.ids[places] == wanted
            scores[is_stored] = self.rows[places[is_stored]] @ row
        order = np.lexsort((wanted, -scores.round(6)))
        return [int(pk) for pk in wanted[order]]


def load_vectors(model: LsaModel) -> PaperVectors:
    """Return the vectors under this model; one cheap query where nothing is new."""
    last = SearchEntry.objects.aggregate(last=Max("pk"))["last"] or 0
    vectors = next(iter(_cached), None)
    if vectors and (vectors.version, vectors.last_entry) == (model.version, last):
        return vectors
    with _lock:
        return _update(model, last)


def clear_cache() -> None:
    _cached.clear()


def _update(model: LsaModel, last: int) -> PaperVectors:
    vectors = next(iter(_cached), None)
    # A lower last entry is another database, such as a restored one.
    if vectors is None or vectors.version != model.version or vectors.last_entry > last:
        nothing = np.zeros((0, model.dimensions), np.float32)
        vectors = PaperVectors(model.version, 0, np.zeros(0, np.int64), nothing)
    ids, rows = [vectors.ids], [vectors.rows]
    new_ids, new_rows = _read(model, vectors.last_entry, last)
    ids.append(new_ids)
    rows.append(new_rows)
    vectors = _merge(model.version, last, np.concatenate(ids), np.concatenate(rows))
    _cached[:] = [vectors]
    return vectors


def _read(model: LsaModel, first: int, last: int) -> tuple[Ids, Rows]:
    entries = SearchEntry.objects.filter(
        pk__gt=first,
        pk__lte=last,
        paper__vector_version=model.version,
        paper__vector__isnull=False,
    ).order_by("pk")
    ids, data = list[int](), bytearray()
    for pk, vector in entries.values_list("paper_id", "paper__vector").iterator(
        _READ_CHUNK
    ):
        ids.append(pk)
        data += bytes(vector or b"")
    rows = np.frombuffer(bytes(data), np.float32).reshape(len(ids), model.dimensions)
    return np.array(ids, np.int64), model.center(rows)


def _merge(version: str, last: int, ids: Ids, rows: Rows) -> PaperVectors:
    """Sort by paper; of a paper's rows the newest stays."""
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    is_newest = np.append(ids[1:] != ids[:-1], True) if ids.size else ids.astype(bool)
    return PaperVectors(version, last, ids[is_newest], rows[order[is_newest]])

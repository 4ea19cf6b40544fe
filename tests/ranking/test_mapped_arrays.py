"""Prepared editions are mapped by all processes; a loaded one evaluates as a new one."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from digest.ranking import mapped_arrays
from digest.ranking.interest_blocks import InterestBlocks
from digest.ranking.mapped_arrays import PackedTexts, load_arrays, save_arrays
from digest.ranking.relevance import EditionScorer, InterestQuery
from tests.conftest import ROOT
from tests.ranking.test_interest_blocks import DENSE, MODEL, PAPERS, ROWS
from tests.ranking.test_relevance import BIRDS, QUANTIZED

QUERIES = [
    InterestQuery("search", "graph neural network"),
    InterestQuery("paper", "", examples=(PAPERS[0], PAPERS[5])),
    InterestQuery(
        "topic", "Protein folding", keywords=("protein",), categories=("cs.LG",)
    ),
    InterestQuery("topic", "Quantization", examples=(QUANTIZED,)),
    InterestQuery("keyword", "quantisation"),
    InterestQuery("keyword", "quantizatoin"),
    InterestQuery("author", "J. Smith"),
    InterestQuery("author", "Chen Wei"),
    InterestQuery("category", "cs.CL"),
]


@pytest.mark.parametrize("with_model", [True, False])
def test_loaded_edition_evaluates_as_the_prepared_one(tmp_path, with_model):
    papers = [*PAPERS[:-2], QUANTIZED, BIRDS]
    rows = ROWS if with_model else np.zeros((len(papers), 0), np.float32)
    model = MODEL if with_model else None
    scorer = EditionScorer(papers, rows, model, DENSE if with_model else None)
    blocks = InterestBlocks(scorer)
    save_arrays(tmp_path / "edition", scorer.to_arrays() | blocks.to_arrays())

    arrays = load_arrays(tmp_path / "edition")
    loaded = EditionScorer.from_arrays(arrays, model)
    loaded_blocks = InterestBlocks(loaded, arrays)

    for query in QUERIES:
        before, after = scorer.evaluate(query), loaded.evaluate(query)
        assert (before.relevance == after.relevance).all()
        assert (before.claimed == after.claimed).all()
    personal = [blocks.prepare(query) for query in QUERIES[:2]]
    before, after = blocks.evaluate(personal), loaded_blocks.evaluate(personal)
    assert (before.relevance == after.relevance).all()
    assert (before.claimed == after.claimed).all()


def test_edition_without_papers_can_be_stored(tmp_path):
    scorer = EditionScorer([], np.zeros((0, 0), np.float32), None)
    save_arrays(tmp_path / "empty", scorer.to_arrays())

    loaded = EditionScorer.from_arrays(load_arrays(tmp_path / "empty"), None)

    assert loaded.evaluate(QUERIES[0]).relevance.shape == (0,)


def test_mapped_arrays_are_read_only(tmp_path):
    save_arrays(tmp_path / "one", {"numbers": np.arange(5)})

    with pytest.raises(ValueError, match="read-only"):
        load_arrays(tmp_path / "one")["numbers"][0] = 7


@pytest.mark.parametrize(
    "rows", [[], [()], [("",)], [("a", "b"), (), ("ü\x00 c",)], [("x",)] * 3]
)
def test_packed_texts_are_the_texts(rows):
    packed = PackedTexts.pack(rows)

    assert list(packed) == rows
    assert packed[:2] == rows[:2]
    with pytest.raises(IndexError):
        packed[len(rows)]


def test_killed_writer_leaves_no_torn_folder(tmp_path):
    code = f"""
        import os, numpy as np
        from pathlib import Path
        from digest.ranking import mapped_arrays
        mapped_arrays._sync_folder = lambda folder: os._exit(9)
        mapped_arrays.save_arrays(Path({str(tmp_path)!r}) / "one", {{"a": np.arange(9)}})
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, timeout=60, check=False
    )

    assert run.returncode == 9
    assert load_arrays(tmp_path / "one") is None
    (torn,) = tmp_path.iterdir()
    mapped_arrays.delete_old_folders(tmp_path, 4, torn.stat().st_mtime + 60)
    assert torn.exists()  # its writer may be alive
    mapped_arrays.delete_old_folders(tmp_path, 4, torn.stat().st_mtime + 4_000)
    assert not torn.exists()


def test_second_writer_keeps_the_first_folder(tmp_path):
    save_arrays(tmp_path / "one", {"a": np.arange(3)})
    first = load_arrays(tmp_path / "one")

    save_arrays(tmp_path / "one", {"a": np.arange(3)})

    assert [folder.name for folder in tmp_path.iterdir()] == ["one"]
    assert (first["a"] == np.arange(3)).all()


def test_deleted_folder_stays_mapped_and_the_newest_are_left(tmp_path):
    for age, name in enumerate("abcdef"):
        save_arrays(tmp_path / name, {"a": np.arange(3)})
        os.utime(tmp_path / name, (1_000 - age, 1_000 - age))
    oldest = load_arrays(tmp_path / "f")

    mapped_arrays.delete_old_folders(tmp_path, 4, 1_000)

    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["a", "b", "c", "d"]
    assert (oldest["a"] == np.arange(3)).all()

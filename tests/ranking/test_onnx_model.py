"""Transformer: a folder as sentence-transformers writes it, with random weights, makes the vectors."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from datetime import timedelta
from io import StringIO

import numpy as np
import onnx
import onnxruntime
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from onnx import TensorProto, helper, numpy_helper
from structlog.testing import capture_logs
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from digest.models import EmbeddingModel, Interest, Paper
from digest.ranking import edition_index, embeddings, onnx_model, rank_edition, search
from digest.ranking.onnx_model import POOLING, POOLING_BEFORE, Unusable
from tests import make
from tests.conftest import ROOT
from tests.make import DAY, NOW

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
FIELDS = [
    "storks wetland autumn migration birds feathers counted nests",
    "steel welds cracks stress alloys grain fatigue corrosion",
    "choirs singers voices cathedrals hymns harmony tuning echoes",
]
OTHERS = "passage : overflow . it works well"
WORDS = [word for field in [*FIELDS, OTHERS] for word in field.split()]
SIZE = 96
TITLES = ["storks wetland", "birds autumn nests", "steel welds", "cracks alloys"]


# A folder. Its graph is small, but of the shape that an export has: three inputs of whole
# numbers with free axes, a vector for each token.


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    write_json(path / "modules.json", modules("Transformer", "Pooling", "Normalize"))
    write_json(path / "config.json", {"max_position_embeddings": 64})
    write_json(path / "sentence_bert_config.json", {"max_seq_length": 8})
    write_json(path / "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    write_json(path / "config_sentence_transformers.json", {"prompts": {}})
    write_tokenizer(path / "tokenizer.json")
    write_graph(path / "onnx/model.onnx")
    return path


def modules(*kinds):
    folders = {"Transformer": "", "Pooling": "1_Pooling"}
    return [
        {
            "idx": number,
            "name": str(number),
            "path": folders.get(kind, f"{number}_{kind}"),
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_tokenizer(path, words=WORDS):
    known = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As of many published models; neither is what sentence-transformers goes by.
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(path))


def weights(seed=0, lean=0.0):
    """What each token becomes: random, all of them leaning in one direction by `lean`."""
    table = np.random.default_rng(seed).normal(
        size=(len(SPECIAL) + len(WORDS), SIZE)
    ) + lean * np.ones(SIZE)
    table[len(SPECIAL) + WORDS.index("overflow")] = np.inf
    return table.astype(np.float32)


def write_graph(path, table=None, inputs=("input_ids", "attention_mask")):
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = ["batch_size", "sequence_length"]
    asked = [helper.make_tensor_value_info(n, TensorProto.INT64, axes) for n in inputs]
    given = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, [*axes, SIZE]
    )
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["there"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["there", "last"], ["mask"]),
        helper.make_node("Mul", ["tokens", "mask"], ["last_hidden_state"]),
    ]
    kept = [
        numpy_helper.from_array(weights() if table is None else table, "table"),
        numpy_helper.from_array(np.array([-1]), "last"),
    ]
    graph = helper.make_graph(nodes, "small", asked, [given], kept)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


def vectors_of(*words):
    """The rows of these words' tokens, between those of the beginning and the end."""
    known = [*SPECIAL, *WORDS]
    return weights()[[known.index(word) for word in ("[CLS]", *words, "[SEP]")]]


def unit(row):
    return row / np.linalg.norm(row)


# Texts become rows.


def test_a_row_is_the_mean_of_the_tokens_and_of_unit_length(folder):
    row = onnx_model.load(folder).rows(["storks autumn"])[0]

    assert row.dtype == np.float32
    assert np.allclose(row, unit(vectors_of("storks", "autumn").mean(axis=0)))


# What sentence-transformers computes, written out.
POOLED = {
    "cls": lambda v: v[0],
    "max": lambda v: np.max(v, axis=0),
    "mean": lambda v: sum(v) / 4,
    "mean_sqrt_len_tokens": lambda v: sum(v) / 2,
    "weightedmean": lambda v: (v[0] + 2 * v[1] + 3 * v[2] + 4 * v[3]) / 10,
    "lasttoken": lambda v: v[3],
}


@pytest.mark.parametrize("mode", POOLING)
def test_every_way_of_pooling_is_known(folder, mode):
    write_json(folder / "1_Pooling/config.json", {"pooling_mode": mode})

    row = onnx_model.load(folder).rows(["steel welds"])[0]

    assert np.allclose(row, unit(POOLED[mode](vectors_of("steel", "welds"))))


@pytest.mark.parametrize(("before", "mode"), POOLING_BEFORE.items())
def test_older_folders_name_their_pooling_otherwise(folder, before, mode):
    others = dict.fromkeys(POOLING_BEFORE, False)
    write_json(folder / "1_Pooling/config.json", {**others, before: True})

    assert onnx_model.read(folder).pooling == (mode,)


def test_several_ways_of_pooling_are_joined(folder):
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    write_json(folder / "1_Pooling/config.json", both)

    row = onnx_model.load(folder).rows(["steel"])[0]

    tokens = vectors_of("steel")
    assert np.allclose(row, unit(np.concatenate([tokens[0], tokens.mean(axis=0)])))


def test_a_text_is_cut_where_the_model_ends_not_where_its_tokenizer_file_does(folder):
    loaded = onnx_model.load(folder)
    six = "storks wetland autumn migration birds feathers"

    whole, longer, shorter = loaded.rows([six, f"{six} counted", six[:-9]])

    assert np.array_equal(whole, longer)
    assert not np.allclose(whole, shorter)


@pytest.mark.parametrize(
    ("said", "limit", "positions", "tokens"),
    [
        (128, 256, 512, 128),
        (None, 256, 512, 256),
        (None, 10**30, 40, 40),
        (None, None, -1, 512),
        (8192, 8192, 8192, 512),
    ],
)
def test_as_many_tokens_are_read_as_the_folder_says(
    folder, said, limit, positions, tokens
):
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": said})
    write_json(folder / "tokenizer_config.json", {"model_max_length": limit})
    write_json(folder / "config.json", {"max_position_embeddings": positions})

    assert onnx_model.read(folder).tokens == tokens


def test_a_row_does_not_depend_on_its_neighbours(folder):
    loaded = onnx_model.load(folder)
    texts = ["storks", "steel welds cracks stress", "choirs singers"]

    together = loaded.rows(texts)

    assert np.array_equal(together, [loaded.rows([text])[0] for text in texts])


def test_a_query_is_read_without_the_stop_of_its_missing_title(folder):
    plain, query = onnx_model.load(folder).rows(["storks", ". storks"])

    assert np.array_equal(plain, query)


@pytest.mark.parametrize(
    "prompts",
    [
        {"prompts": {"document": "passage : ", "query": "storks"}},
        {"prompts": {"all": "passage : "}, "default_prompt_name": "all"},
    ],
)
def test_a_model_that_wants_a_prompt_gets_that_of_documents(folder, prompts):
    write_json(folder / "config_sentence_transformers.json", prompts)

    row = onnx_model.load(folder).rows(["steel"])[0]

    assert np.allclose(row, unit(vectors_of("passage", ":", "steel").mean(axis=0)))


def test_letters_are_lowered_where_the_folder_says_so(folder):
    as_written = onnx_model.load(folder).rows(["STEEL"])[0]
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})

    lowered, plain = onnx_model.load(folder).rows(["STEEL", "steel"])

    assert np.array_equal(lowered, plain)
    assert not np.allclose(as_written, plain)


def test_a_graph_is_given_what_it_asks_for(folder):
    asked = ("input_ids", "attention_mask", "token_type_ids")
    before = onnx_model.load(folder).rows(["steel"])
    write_graph(folder / "onnx/model.onnx", inputs=asked)

    assert np.array_equal(onnx_model.load(folder).rows(["steel"]), before)


def test_one_text_that_overflows_spoils_no_other(folder):
    rows = onnx_model.load(folder).rows(["overflow", "steel"])

    assert not rows[0].any()
    assert np.allclose(rows[1], unit(vectors_of("steel").mean(axis=0)))


def test_the_graph_runs_on_one_thread(folder):
    options = onnx_model.load(folder).session.get_session_options()

    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_nobody_is_told_which_model_is_loaded(folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    # In either of these ONNX Runtime is silent by itself.
    quiet = {"CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    shell = {name: value for name, value in os.environ.items() if name not in quiet}

    subprocess.run(
        [sys.executable, "-c", LOAD, folder],
        cwd=ROOT,
        env={**shell, "HOME": str(home)},
        check=True,
    )

    # It begins by giving this machine a number that it keeps.
    assert list(home.rglob("*")) == []


LOAD = "import sys; from pathlib import Path; from digest.ranking import onnx_model; onnx_model.load(Path(sys.argv[1]))"


# The model: a folder, less the mean.


def texts(count):
    chance = np.random.default_rng(0)
    return [" ".join(chance.choice(WORDS[:24], 6)) for _ in range(count)]


def median_cosine(rows):
    return np.median((rows @ rows.T)[np.triu_indices(len(rows), 1)])


@pytest.mark.parametrize("count", [20, 200])
def test_what_all_texts_share_does_not_make_them_alike(folder, count):
    write_graph(folder / "onnx/model.onnx", weights(lean=2))
    loaded = onnx_model.load(folder)

    model = onnx_model.fit(loaded, texts(count))

    assert median_cosine(loaded.rows(texts(count))) > 0.9
    assert abs(median_cosine(model.embed(texts(count)))) < 0.15


def test_a_text_of_blanks_is_a_row_of_zeros(folder):
    model = onnx_model.fit(onnx_model.load(folder), texts(20))

    blank, steel = model.embed([" \n", "steel"])

    assert not blank.any()
    assert np.isclose(np.linalg.norm(steel), 1)


def test_embedding_nothing_gives_no_rows(folder):
    model = onnx_model.fit(onnx_model.load(folder), texts(3))

    assert model.embed([]).shape == (0, model.dimensions) == (0, SIZE)


def test_no_texts_make_no_model(folder):
    with pytest.raises(ValueError, match="at least one text"):
        onnx_model.fit(onnx_model.load(folder), [])


def test_a_kept_model_is_the_model(folder):
    model = onnx_model.fit(onnx_model.load(folder), texts(7))

    again = onnx_model.loads(onnx_model.load(folder), model.dumps())

    assert again.version == model.version
    assert onnx_model.of_a_folder(again.version)
    assert len(again.version) <= 16
    assert np.array_equal(again.embed(texts(9)), model.embed(texts(9)))


CHANGES = {
    "weights": lambda path: write_graph(path / "onnx/model.onnx", weights(seed=1)),
    "weights beside the graph": lambda path: (
        path / "onnx/model.onnx_data"
    ).write_bytes(b"1"),
    "words": lambda path: write_tokenizer(path / "tokenizer.json", WORDS[::-1]),
    "pooling": lambda path: write_json(
        path / "1_Pooling/config.json", {"pooling_mode": "cls"}
    ),
    "length": lambda path: write_json(
        path / "sentence_bert_config.json", {"max_seq_length": 4}
    ),
    "prompt": lambda path: write_json(
        path / "config_sentence_transformers.json", {"prompts": {"document": "we "}}
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_content_has_another_mark(folder, change):
    before = onnx_model.load(folder).mark

    CHANGES[change](folder)

    assert onnx_model.load(folder).mark != before


def test_what_does_not_touch_the_rows_leaves_the_mark(folder, tmp_path):
    before = onnx_model.load(folder).mark
    (folder / "README.md").write_text("Another card.")
    copy = shutil.copytree(folder, tmp_path / "copy")
    os.utime(copy / "onnx/model.onnx", (0, 0))

    assert onnx_model.load(copy).mark == before


def test_a_folder_is_loaded_once(folder):
    assert onnx_model.load(folder) is onnx_model.load(folder)


# A folder that cannot be used says what to do.


def graph_without_tokens(path):
    """One vector for a text, as nothing that needs a pooling gives."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "n"])
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, "n"])
    node = helper.make_node("Cast", ["input_ids"], ["row"], to=TensorProto.FLOAT)
    graph = helper.make_graph([node], "other", [ids], [row])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


READABLE = {
    "no folder": (shutil.rmtree, "is not a folder", "leave EMBEDDING_FOLDER empty"),
    "no modules": (
        lambda path: (path / "modules.json").unlink(),
        "modules.json is missing",
        "hf download",
    ),
    "no graph": (
        lambda path: (path / "onnx/model.onnx").unlink(),
        "model.onnx is missing",
        'backend="onnx"',
    ),
    "no tokenizer": (
        lambda path: (path / "tokenizer.json").unlink(),
        "tokenizer.json is missing",
        "hf download",
    ),
    "no pooling": (
        lambda path: shutil.rmtree(path / "1_Pooling"),
        "1_Pooling/config.json is missing",
        "hf download",
    ),
    "a pointer": (
        lambda path: (path / "onnx/model.onnx").write_text(
            "version https://git-lfs.example/spec/v1\noid sha256:0\nsize 90405214\n"
        ),
        "pointer of Git LFS",
        "git lfs pull",
    ),
    "half a file": (
        lambda path: (path / "config.json").write_text('{"max_pos'),
        "is not JSON",
        "hf download",
    ),
    "another shape": (
        lambda path: write_json(path / "modules.json", ["Transformer", "Pooling"]),
        "is not what sentence-transformers writes",
        "hf download",
    ),
    "nothing": (
        lambda path: write_json(path / "modules.json", []),
        "is made of nothing",
        "all-MiniLM-L6-v2",
    ),
    "another kind": (
        lambda path: write_json(
            path / "modules.json", modules("Transformer", "Pooling", "Dense")
        ),
        "is made of Transformer, Pooling, Dense",
        "all-MiniLM-L6-v2",
    ),
    "another pooling": (
        lambda path: write_json(
            path / "1_Pooling/config.json", {"pooling_mode": "median"}
        ),
        "pools by median",
        "all-MiniLM-L6-v2",
    ),
    "a prompt apart": (
        lambda path: write_json(
            path / "1_Pooling/config.json",
            {"pooling_mode": "mean", "include_prompt": False},
        ),
        "leaves the prompt out",
        "all-MiniLM-L6-v2",
    ),
}
# Found only by trying.
LOADABLE = {
    "half a graph": (
        lambda path: (path / "onnx/model.onnx").write_bytes(b"\x08\x0a\x12"),
        "does not work",
        'backend="onnx"',
    ),
    "half a tokenizer": (
        lambda path: (path / "tokenizer.json").write_text('{"version": "1.0"'),
        "does not work",
        'backend="onnx"',
    ),
    "a graph without tokens": (
        lambda path: graph_without_tokens(path / "onnx/model.onnx"),
        "does not work",
        'backend="onnx"',
    ),
    "a graph that asks for more": (
        lambda path: write_graph(
            path / "onnx/model.onnx",
            inputs=("input_ids", "attention_mask", "pixel_values"),
        ),
        "does not work",
        'backend="onnx"',
    ),
    "no numbers": (
        lambda path: write_graph(path / "onnx/model.onnx", weights() * np.nan),
        "answers with no numbers",
        'backend="onnx"',
    ),
}


@pytest.mark.parametrize("wrong", READABLE)
def test_what_a_folder_lacks_is_said_without_loading_it(folder, wrong):
    spoil, what, hint = READABLE[wrong]
    spoil(folder)

    with pytest.raises(Unusable, match=what) as raised:
        onnx_model.read(folder)

    assert hint in raised.value.hint


@pytest.mark.parametrize("wrong", LOADABLE)
def test_a_model_that_does_not_work_says_so_when_loaded(folder, wrong):
    spoil, what, hint = LOADABLE[wrong]
    spoil(folder)

    with pytest.raises(Unusable, match=what) as raised:
        onnx_model.load(folder)

    assert hint in raised.value.hint


@pytest.mark.parametrize("package", onnx_model.PACKAGES)
def test_a_package_that_is_not_installed_is_named(folder, monkeypatch, package):
    monkeypatch.setattr(
        onnx_model, "find_spec", lambda name: None if name == package else name
    )

    with pytest.raises(Unusable, match=package) as raised:
        onnx_model.read(folder)

    assert raised.value.hint == "pip install onnxruntime tokenizers"


def found_by_checks(**named):
    return [message for message in run_checks(**named) if message.id == "digest.E005"]


def test_a_check_finds_a_wrong_folder_at_the_start(folder, settings):
    settings.EMBEDDING_FOLDER = folder
    assert found_by_checks(include_deployment_checks=True) == []

    (folder / "onnx/model.onnx").unlink()

    (found,) = found_by_checks()
    assert found_by_checks(include_deployment_checks=True) == [found]
    assert found.msg.startswith("EMBEDDING_FOLDER: ")
    assert "model.onnx is missing" in found.msg
    assert 'backend="onnx"' in found.hint


def test_a_deployment_check_tries_the_model(folder, settings):
    settings.EMBEDDING_FOLDER = folder
    (folder / "onnx/model.onnx").write_bytes(b"\x08\x0a\x12")

    assert found_by_checks() == []
    (found,) = found_by_checks(include_deployment_checks=True)
    assert "does not work" in found.msg


# Measured on a recorded set.


@pytest.fixture
def recorded(tmp_path):
    """Two invented papers of a field, and a reader who follows one of them."""
    papers = [
        {"id": f"{n}{k}", "title": " ".join(FIELDS[n].split()[k::2]), "abstract": "it"}
        for n in range(3)
        for k in range(2)
    ]
    reader = {"id": "ada", "follows": {"papers": ["00"]}, "relevant": {"01": 1}}
    folder = tmp_path / "set"
    write_json(folder / "set.json", {"name": "invented", "metric": "ap"})
    write_json(folder / "readers.jsonl", reader)
    with gzip.open(folder / "papers.jsonl.gz", "wt") as file:
        file.writelines(f"{json.dumps(paper)}\n" for paper in papers)
    return folder


def first_by_meaning(recorded, out):
    """The baseline that goes by vectors alone."""
    call_command("evaluate", str(recorded), json=out, stdout=StringIO())
    (found,) = json.loads(out.read_text()).values()
    return found["rankers"]["meaning centroid"]["ap"]["mean"]


def test_an_evaluation_goes_by_the_folder(folder, recorded, settings, tmp_path):
    table = weights()
    for field in FIELDS:  # words of one field mean the same to this model
        places = [len(SPECIAL) + WORDS.index(word) for word in field.split()]
        table[places] = table[places[0]]
    write_graph(folder / "onnx/model.onnx", table)
    assert first_by_meaning(recorded, tmp_path / "out.json") < 1

    settings.EMBEDDING_FOLDER = folder

    assert first_by_meaning(recorded, tmp_path / "out.json") == 1


def test_an_evaluation_does_not_begin_with_a_wrong_folder(folder, recorded, settings):
    settings.EMBEDDING_FOLDER = folder / "nowhere"

    with pytest.raises(CommandError, match=r"is not a folder\. Name the folder"):
        call_command("evaluate", str(recorded))


# In the corridor.


@pytest.fixture
def papers(db):
    return [make.paper(title, abstract="it works") for title in TITLES]


@pytest.fixture
def chosen(folder, settings):
    settings.EMBEDDING_FOLDER = folder
    return folder


def versions():
    return set(Paper.objects.values_list("vector_version", flat=True))


def refuse(*_):
    raise AssertionError("the graph ran, though every vector was there")


def mark_of(folder):
    return onnx_model.load(folder).mark


@pytest.mark.both
def test_with_a_folder_papers_have_its_vectors(papers, chosen):
    rank_edition.rank_edition(DAY, NOW)

    row = EmbeddingModel.objects.get()
    assert row.version == f"{mark_of(chosen)}{len(papers)}"
    assert row.papers == len(papers)
    assert versions() == {row.version}
    near = [paper for paper, _ in search.search("storks nests birds")[:2]]
    assert set(near) == set(papers[:2])


@pytest.mark.both
def test_one_can_switch_there_and_back(papers, folder, settings):
    fitted = embeddings.refresh().version

    settings.EMBEDDING_FOLDER = folder
    assert embeddings.current().version == fitted
    there = embeddings.refresh().version
    assert there.startswith(mark_of(folder))
    assert versions() == {there}

    settings.EMBEDDING_FOLDER = None
    assert embeddings.current().version == fitted
    assert embeddings.refresh().version == fitted
    assert versions() == {fitted}

    settings.EMBEDDING_FOLDER = folder
    assert embeddings.current().version == fitted
    assert embeddings.refresh().version == there
    assert embeddings.current().version == there
    assert versions() == {there}


def test_a_rank_without_new_papers_runs_no_graph(papers, chosen, monkeypatch):
    monkeypatch.setattr(onnx_model, "FIT_ON", 1)
    embeddings.refresh()
    before = EmbeddingModel.objects.values().get()
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", refuse)

    embeddings.refresh()

    assert EmbeddingModel.objects.values().get() == before


def test_a_paper_is_embedded_once(papers, chosen):
    embeddings.refresh()
    mine = np.full(SIZE, 0.5, np.float32).tobytes()
    Paper.objects.filter(pk=papers[0].pk).update(vector=mine)
    new = make.paper("choirs")

    embeddings.refresh()

    assert bytes(Paper.objects.get(pk=papers[0].pk).vector) == mine
    assert Paper.objects.get(pk=new.pk).vector_version == embeddings.current().version


def test_papers_are_embedded_again_when_the_folder_changes(papers, chosen):
    before = embeddings.refresh().version
    write_graph(chosen / "onnx/model.onnx", weights(seed=1))

    assert embeddings.current() is None
    after = embeddings.refresh()

    assert after.version != before
    assert versions() == {after.version}
    texts = [embeddings.text(paper) for paper in papers]
    assert np.array_equal(after.mean, onnx_model.fit(after.folder, texts).mean)


@pytest.mark.django_db
def test_a_mean_of_few_papers_is_made_again_when_they_are_four_times_as_many(chosen):
    make.paper("storks")
    assert embeddings.refresh().documents == 1
    make.paper("steel")
    make.paper("choirs")
    assert embeddings.refresh().documents == 1

    make.paper("nests")

    assert embeddings.refresh().documents == 4
    assert versions() == {embeddings.current().version}


def test_a_folder_takes_the_place_of_a_model_once_all_papers_have_its_vectors(
    papers, folder, settings, monkeypatch
):
    monkeypatch.setattr(embeddings, "CHUNK", 1)
    monkeypatch.setattr(embeddings, "AT_ONCE", 2)
    monkeypatch.setattr(onnx_model, "FIT_ON", 3)
    fitted = embeddings.refresh().version
    settings.EMBEDDING_FOLDER = folder

    assert embeddings.refresh().version == fitted
    assert len(versions()) == 2
    make.paper("hymns")
    assert embeddings.refresh().version == fitted
    model = embeddings.refresh()
    assert model.version.startswith(mark_of(folder))
    assert versions() == {model.version}
    known = Paper.objects.order_by("pk")
    made = model.embed([embeddings.text(paper) for paper in known])
    stored = [np.frombuffer(paper.vector, np.float32) for paper in known]
    assert np.array_equal(stored, made)


def test_a_folder_is_in_use_at_once_where_there_is_no_other_model(
    papers, chosen, monkeypatch
):
    monkeypatch.setattr(embeddings, "CHUNK", 1)
    monkeypatch.setattr(embeddings, "AT_ONCE", 2)
    make.paper("hymns", announced_on=DAY - timedelta(days=1))

    model = embeddings.refresh()

    assert model.version.startswith(mark_of(chosen))
    newest = papers[-2:]
    assert set(Paper.objects.filter(vector_version=model.version)) == set(newest)


def test_a_paper_revised_while_its_vector_was_made_gets_another(
    papers, chosen, monkeypatch
):
    embeddings.refresh()
    late = make.paper("storks")
    revised = {"title": "corrosion", "updated_at": NOW + make.hours(1)}
    run = onnxruntime.InferenceSession.run

    def revise_and_run(*arguments):
        Paper.objects.filter(pk=late.pk).update(**revised)
        return run(*arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", revise_and_run)

    model = embeddings.refresh()

    late.refresh_from_db()
    (expected,) = model.embed([embeddings.text(late)])
    assert late.title == "corrosion"
    assert np.array_equal(np.frombuffer(late.vector, np.float32), expected)


def test_a_folder_that_fails_in_the_night_does_not_stop_the_ranking(
    papers, folder, settings
):
    fitted = embeddings.refresh().version
    settings.EMBEDDING_FOLDER = folder
    there = embeddings.refresh().version
    (folder / "onnx/model.onnx").unlink()

    with capture_logs() as logs:
        edition = rank_edition.rank_edition(DAY, NOW)

    assert edition.candidates.count() == len(papers)
    assert embeddings.current().version == fitted
    assert versions() == {there}
    assert logs[0]["log_level"] == "error"
    assert 'backend="onnx"' in logs[0]["hint"]
    assert search.search("storks") == []


def test_words_alone_decide_where_the_only_model_has_gone(papers, chosen):
    edition = rank_edition.rank_edition(DAY, NOW)
    shutil.rmtree(chosen)

    table = edition_index.load_index(edition)

    (wish,) = edition_index.build_queries(
        [Interest(kind="search", value="steel welds")]
    )
    assert embeddings.current() is None
    assert table.papers[int(table.evaluate(wish).argmax())] == papers[2].pk


def test_choosing_for_readers_embeds_no_paper(papers, chosen, monkeypatch):
    edition = rank_edition.rank_edition(DAY, NOW)
    shown = [Interest(kind="paper", value=papers[0].identifier)]
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", refuse)

    table = edition_index.load_index(edition)
    found = table.relevance(edition_index.build_queries(shown))[0]

    assert table.papers[int(found.argmax())] == papers[0].pk
    assert table.vectors.shape == (len(papers), SIZE)

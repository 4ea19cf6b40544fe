"""Sentence-transformers are read from folders as their library writes them; weights are random."""

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
from digest.ranking import edition_index, embeddings, onnx_model, rank_edition
from digest.ranking.onnx_model import OLD_POOLING_NAMES, POOLING, UnusableModel
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
    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
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
    outputs = [
        numpy_helper.from_array(weights() if table is None else table, "table"),
        numpy_helper.from_array(np.array([-1]), "last"),
    ]
    graph = helper.make_graph(nodes, "small", asked, [given], outputs)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


def vectors_of(*words):
    """The rows of these words' tokens, between those of the beginning and the end."""
    vocabulary = [*SPECIAL, *WORDS]
    return weights()[[vocabulary.index(word) for word in ("[CLS]", *words, "[SEP]")]]


def unit(row):
    return row / np.linalg.norm(row)


# Texts become rows.


def test_a_row_is_the_mean_of_the_tokens_and_of_unit_length(folder):
    row = onnx_model.load_folder(folder).embed(["storks autumn"])[0]

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

    row = onnx_model.load_folder(folder).embed(["steel welds"])[0]

    assert np.allclose(row, unit(POOLED[mode](vectors_of("steel", "welds"))))


@pytest.mark.parametrize(("before", "mode"), OLD_POOLING_NAMES.items())
def test_older_folders_name_their_pooling_otherwise(folder, before, mode):
    others = dict.fromkeys(OLD_POOLING_NAMES, False)
    write_json(folder / "1_Pooling/config.json", {**others, before: True})

    assert onnx_model.read_folder(folder).pooling == (mode,)


def test_several_ways_of_pooling_are_joined(folder):
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    write_json(folder / "1_Pooling/config.json", both)

    row = onnx_model.load_folder(folder).embed(["steel"])[0]

    tokens = vectors_of("steel")
    assert np.allclose(row, unit(np.concatenate([tokens[0], tokens.mean(axis=0)])))


def test_a_text_is_cut_where_the_model_ends_not_where_its_tokenizer_file_does(folder):
    loaded = onnx_model.load_folder(folder)
    six = "storks wetland autumn migration birds feathers"

    whole, longer, shorter = loaded.embed([six, f"{six} counted", six[:-9]])

    assert np.array_equal(whole, longer)
    assert not np.allclose(whole, shorter)


@pytest.mark.parametrize(
    ("max_length", "limit", "positions", "tokens"),
    [
        (128, 256, 512, 128),
        (None, 256, 512, 256),
        (None, 10**30, 40, 40),
        (None, None, -1, 512),
        (8192, 8192, 8192, 512),
    ],
)
def test_as_many_tokens_are_read_as_the_folder_says(
    folder, max_length, limit, positions, tokens
):
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length})
    write_json(folder / "tokenizer_config.json", {"model_max_length": limit})
    write_json(folder / "config.json", {"max_position_embeddings": positions})

    assert onnx_model.read_folder(folder).tokens == tokens


def test_a_row_does_not_depend_on_its_neighbours(folder):
    loaded = onnx_model.load_folder(folder)
    texts = ["storks", "steel welds cracks stress", "choirs singers"]

    together = loaded.embed(texts)

    assert np.array_equal(together, [loaded.embed([text])[0] for text in texts])


def test_a_query_is_read_without_the_stop_of_its_missing_title(folder):
    plain, query = onnx_model.load_folder(folder).embed(["storks", ". storks"])

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

    row = onnx_model.load_folder(folder).embed(["steel"])[0]

    assert np.allclose(row, unit(vectors_of("passage", ":", "steel").mean(axis=0)))


def test_letters_are_lowered_where_the_folder_says_so(folder):
    as_written = onnx_model.load_folder(folder).embed(["STEEL"])[0]
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": True})

    lowered, plain = onnx_model.load_folder(folder).embed(["STEEL", "steel"])

    assert np.array_equal(lowered, plain)
    assert not np.allclose(as_written, plain)


def test_a_graph_is_given_what_it_asks_for(folder):
    inputs = ("input_ids", "attention_mask", "token_type_ids")
    before = onnx_model.load_folder(folder).embed(["steel"])
    write_graph(folder / "onnx/model.onnx", inputs=inputs)

    assert np.array_equal(onnx_model.load_folder(folder).embed(["steel"]), before)


def test_one_text_that_overflows_spoils_no_other(folder):
    rows = onnx_model.load_folder(folder).embed(["overflow", "steel"])

    assert not rows[0].any()
    assert np.allclose(rows[1], unit(vectors_of("steel").mean(axis=0)))


def test_the_graph_runs_on_one_thread(folder):
    options = onnx_model.load_folder(folder).session.get_session_options()

    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_model_is_not_reported_to_the_vendor(folder, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    # In either of these ONNX Runtime is silent by itself.
    unset = {"CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    shell = {name: value for name, value in os.environ.items() if name not in unset}

    subprocess.run(
        [sys.executable, "-c", LOAD, folder],
        cwd=ROOT,
        env={**shell, "HOME": str(home)},
        check=True,
    )

    # It begins by giving this machine a number that it keeps.
    assert list(home.rglob("*")) == []


LOAD = "import sys; from pathlib import Path; from digest.ranking import onnx_model; onnx_model.load_folder(Path(sys.argv[1]))"


# The model: a folder, less the mean.


def test_blank_text_is_a_row_of_zeros(folder):
    blank, steel = onnx_model.load_folder(folder).embed([" \n", "steel"])

    assert not blank.any()
    assert np.isclose(np.linalg.norm(steel), 1)


def test_embedding_nothing_gives_no_rows(folder):
    model = onnx_model.load_folder(folder)

    assert model.embed([]).shape == (0, model.dimensions) == (0, SIZE)


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
def test_changed_content_changes_the_version(folder, change):
    before = onnx_model.load_folder(folder).version

    CHANGES[change](folder)

    assert onnx_model.load_folder(folder).version != before


def test_irrelevant_files_do_not_change_the_version(folder, tmp_path):
    before = onnx_model.load_folder(folder).version
    (folder / "README.md").write_text("Another card.")
    copy = shutil.copytree(folder, tmp_path / "copy")
    os.utime(copy / "onnx/model.onnx", (0, 0))

    assert onnx_model.load_folder(copy).version == before


def test_a_folder_is_loaded_once(folder):
    assert onnx_model.load_folder(folder) is onnx_model.load_folder(folder)


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
def test_incomplete_folder_is_reported_without_loading_it(folder, wrong):
    spoil, what, hint = READABLE[wrong]
    spoil(folder)

    with pytest.raises(UnusableModel, match=what) as raised:
        onnx_model.read_folder(folder)

    assert hint in raised.value.hint


@pytest.mark.parametrize("wrong", LOADABLE)
def test_a_model_that_does_not_work_says_so_when_loaded(folder, wrong):
    spoil, what, hint = LOADABLE[wrong]
    spoil(folder)

    with pytest.raises(UnusableModel, match=what) as raised:
        onnx_model.load_folder(folder)

    assert hint in raised.value.hint


@pytest.mark.parametrize("package", onnx_model.PACKAGES)
def test_a_package_that_is_not_installed_is_named(folder, monkeypatch, package):
    monkeypatch.setattr(
        onnx_model, "find_spec", lambda name: None if name == package else name
    )

    with pytest.raises(UnusableModel, match=package) as raised:
        onnx_model.read_folder(folder)

    assert raised.value.hint == "pip install onnxruntime tokenizers"


def found_by_checks(**named):
    return [message for message in run_checks(**named) if message.id == "digest.E005"]


def test_a_check_finds_a_wrong_folder_at_the_start(folder, settings):
    settings.EMBEDDING_FOLDER = folder
    assert found_by_checks(include_deployment_checks=True) == []

    (folder / "onnx/model.onnx").unlink()

    (message,) = found_by_checks()
    assert found_by_checks(include_deployment_checks=True) == [message]
    assert message.msg.startswith("EMBEDDING_FOLDER: ")
    assert "model.onnx is missing" in message.msg
    assert 'backend="onnx"' in message.hint


def test_a_deployment_check_tries_the_model(folder, settings):
    settings.EMBEDDING_FOLDER = folder
    (folder / "onnx/model.onnx").write_bytes(b"\x08\x0a\x12")

    assert found_by_checks() == []
    (message,) = found_by_checks(include_deployment_checks=True)
    assert "does not work" in message.msg


# The packaged model.


def test_packaged_model_puts_texts_of_one_meaning_near():
    model = onnx_model.load_folder(onnx_model.MINILM_FOLDER)

    cat, kitten, bond = model.embed(
        ["A cat sat on a mat.", "The kitten rests on the rug.", "Yields of bonds rose."]
    )

    assert model.dimensions == 384
    assert cat @ kitten > 0.5 > 0.2 > cat @ bond


def test_check_names_how_to_install_the_packaged_model(settings, monkeypatch):
    settings.EMBEDDING_FOLDER = onnx_model.MINILM_FOLDER
    found = onnx_model.find_spec
    absent = onnx_model.MINILM_PACKAGE
    monkeypatch.setattr(
        onnx_model, "find_spec", lambda name: None if name == absent else found(name)
    )

    (message,) = found_by_checks()

    assert absent in message.msg
    assert "requirements-minilm.lock" in message.hint


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


def mean_ap(recorded, out):
    call_command("evaluate", str(recorded), json=out, stdout=StringIO())
    (summary,) = json.loads(out.read_text()).values()
    return summary["rankers"]["production"]["ap"]["mean"]


def test_evaluation_uses_the_configured_folder(folder, recorded, settings, tmp_path):
    table = weights()
    for field in FIELDS:  # words of one field mean the same to this model
        places = [len(SPECIAL) + WORDS.index(word) for word in field.split()]
        table[places] = table[places[0]]
    write_graph(folder / "onnx/model.onnx", table)
    assert mean_ap(recorded, tmp_path / "out.json") < 1

    settings.EMBEDDING_FOLDER = folder

    assert mean_ap(recorded, tmp_path / "out.json") == 1


def test_an_evaluation_does_not_begin_with_a_wrong_folder(folder, recorded, settings):
    settings.EMBEDDING_FOLDER = folder / "nowhere"

    with pytest.raises(CommandError, match=r"is not a folder\. Name the folder"):
        call_command("evaluate", str(recorded))


# In the pipeline.


@pytest.fixture
def papers(db):
    return [make.paper(title, abstract="it works") for title in TITLES]


@pytest.fixture
def configured(folder, settings):
    settings.EMBEDDING_FOLDER = folder
    return folder


def dense_versions():
    return set(Paper.objects.values_list("dense_version", flat=True))


def refuse(*_):
    raise AssertionError("the graph ran, though every vector was stored")


@pytest.mark.both
def test_ranking_embeds_papers_beside_lsa(papers, configured):
    rank_edition.rank_edition(DAY, NOW)

    model = onnx_model.load_folder(configured)
    assert EmbeddingModel.objects.get().version == embeddings.current_model().version
    assert dense_versions() == {model.version}
    assert not (
        Paper.objects.filter(vector=None) | Paper.objects.filter(dense_vector=None)
    )


def test_papers_are_embedded_once(papers, configured, monkeypatch):
    embeddings.refresh()
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", refuse)

    embeddings.refresh()


def test_papers_are_embedded_again_when_the_folder_changes(papers, configured):
    embeddings.refresh()
    before = dense_versions()
    write_graph(configured / "onnx/model.onnx", weights(seed=1))

    embeddings.refresh()

    assert dense_versions() == {onnx_model.load_folder(configured).version} != before


def test_newest_papers_are_embedded_first(papers, configured, monkeypatch):
    monkeypatch.setattr(embeddings, "WRITE_CHUNK", 1)
    monkeypatch.setattr(embeddings, "MAX_DENSE_PAPERS_PER_RUN", 2)
    make.paper("hymns", announced_on=DAY - timedelta(days=1))

    embeddings.refresh()

    embedded = Paper.objects.filter(dense_vector__isnull=False)
    assert set(embedded) == set(papers[-2:])


def test_paper_revised_while_it_was_embedded_is_embedded_again(
    papers, configured, monkeypatch
):
    embeddings.refresh()
    late = make.paper("storks")
    revised = {"title": "corrosion", "updated_at": NOW + make.hours(1)}
    run = onnxruntime.InferenceSession.run

    def revise_and_run(*arguments):
        Paper.objects.filter(pk=late.pk).update(**revised)
        return run(*arguments)

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", revise_and_run)
    embeddings.refresh()

    embeddings.refresh()

    late.refresh_from_db()
    model = onnx_model.load_folder(configured)
    (expected,) = model.embed([embeddings.text_of(late)])
    assert np.array_equal(np.frombuffer(late.dense_vector, np.float32), expected)


def test_missing_folder_does_not_stop_the_ranking(papers, configured):
    shutil.rmtree(configured)

    with capture_logs() as logs:
        edition = rank_edition.rank_edition(DAY, NOW)

    assert edition.candidates.count() == len(papers)
    assert embeddings.dense_rows(papers) is None
    assert logs[0]["log_level"] == "error"


def test_choosing_for_readers_embeds_no_paper(papers, configured, monkeypatch):
    edition = rank_edition.rank_edition(DAY, NOW)
    late = make.paper("storks wetland autumn")
    liked = [Interest(kind="paper", value=p.identifier) for p in (papers[0], late)]
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", refuse)

    index = edition_index.load_index(edition)
    matches = index.match(edition_index.build_queries(liked))

    assert matches.relevance.argmax(axis=1).tolist() == [0, 0]

"""Transformer: vectors of a sentence-transformers model in a local folder.

Optional: ONNX Runtime and tokenizers are imported only where a folder is given, and
nothing is ever downloaded. The folder is read as sentence-transformers writes it
(modules.json and what it names), with the graph that its ONNX export adds. Texts go
through it one at a time: on one core a batch is slower, for it pads, and so a text's row
does not depend on its neighbours.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from digest.ranking.lsa import Rows

# All its rows lean in a direction of the model's own, whatever the papers are about, so the
# mean goes nearly whole from a few papers on: a fifth of it that stayed could outweigh all
# that tells papers apart. It hardly moves after the first hundreds.
MEAN_AFTER = 1  # papers; the mean is removed in proportion n / (n + 1)
FIT_ON = 500  # papers
# An abstract has about 250 tokens; some models would read 8,192, for seconds each.
MOST_TOKENS = 512

PACKAGES = ("onnxruntime", "tokenizers")
# Parts of a model, as modules.json names them after their module's path.
NEEDED, KNOWN = {"Transformer", "Pooling"}, {"Transformer", "Pooling", "Normalize"}
OUTPUTS = ("last_hidden_state", "token_embeddings")

# What to do.
CHOOSE = (
    "Name the folder of a sentence-transformers model, or leave EMBEDDING_FOLDER empty."
)
COMPLETE = "Download the model whole: hf download NAME --local-dir FOLDER."
EXPORT = (
    "Where sentence-transformers[onnx] is installed, load the model with"
    ' backend="onnx" and save_pretrained(FOLDER): that writes onnx/model.onnx.'
)
INSTALL = f"pip install {' '.join(PACKAGES)}"
OTHER = (
    "Choose a model of a Transformer, a Pooling and perhaps a Normalize,"
    " as all-MiniLM-L6-v2 is."
)

Json = dict[str, Any]
Tokens = npt.NDArray[np.float32]  # those of one text, [n, d]

# Of one text without padding, what sentence-transformers does to a batch with it.
POOLING: dict[str, Callable[[Tokens], Tokens]] = {
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.max(axis=0),
    "mean": lambda tokens: tokens.mean(axis=0),
    "mean_sqrt_len_tokens": lambda tokens: tokens.sum(axis=0) / len(tokens) ** 0.5,
    "weightedmean": lambda tokens: np.average(
        tokens, axis=0, weights=np.arange(1, len(tokens) + 1)
    ),
    "lasttoken": lambda tokens: tokens[-1],
}
# Their names in older folders, in the order in which several are joined.
POOLING_BEFORE = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class Unusable(Exception):
    """The folder cannot be used as it is; `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True)
class Recipe:
    """What the small files of a folder say: how texts are read and tokens become a row."""

    graph: Path
    tokenizer: Path
    pooling: tuple[str, ...]
    tokens: int  # so many of a text are read
    prompt: str  # before every text; both sides of a comparison are documents here
    lower: bool

    def files(self) -> list[Path]:
        """The large ones; a graph may keep its weights beside it, as model.onnx_data."""
        graph = self.graph
        return [self.tokenizer, *sorted(graph.parent.glob(f"{graph.name}*"))]


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder that is loaded: texts become rows, the mean still in them."""

    mark: str  # versions of its models begin with it
    recipe: Recipe
    tokenizer: Any
    session: Any

    def rows(self, texts: Sequence[str]) -> Rows:
        """Unit rows [n, d]; of zeros for a text of blanks."""
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for i, text in enumerate(texts):
            if text.strip():
                rows[i] = self._row(text)
        # A graph of half precision may overflow: one such paper must not end a ranking.
        return _unit(np.nan_to_num(rows, posinf=0, neginf=0))

    @cached_property
    def dimensions(self) -> int:
        return len(self._row("a"))

    def _row(self, text: str) -> Tokens:
        # A query comes as a text without a title: ". words".
        text = self.recipe.prompt + text.lstrip(". ")
        ids = self.tokenizer.encode(text.lower() if self.recipe.lower else text).ids
        row = {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "token_type_ids": [0] * len(ids),
        }
        given = {name: np.array([row[name]], np.int64) for name in self._inputs}
        tokens = self.session.run([self._output], given)[0][0].astype(np.float32)
        return np.concatenate([POOLING[mode](tokens) for mode in self.recipe.pooling])

    @cached_property
    def _inputs(self) -> list[str]:
        return [node.name for node in self.session.get_inputs()]

    @cached_property
    def _output(self) -> str:
        names = [node.name for node in self.session.get_outputs()]
        return next((name for name in OUTPUTS if name in names), names[0])


@dataclass(frozen=True)
class Model:
    """A folder and the mean [d] that is taken from its rows; a vectors.Model."""

    folder: Folder
    mean: Rows
    documents: int

    @property
    def dimensions(self) -> int:
        return self.mean.size

    @property
    def version(self) -> str:
        """The folder's mark, and how many papers gave the mean.

        Not a digest of the mean, whose last digits differ between machines.
        """
        return f"{self.folder.mark}{self.documents}"

    def embed(self, texts: Sequence[str]) -> Rows:
        """Unit rows, float32 [n, d]; a row of zeros for a text of blanks."""
        rows = self.folder.rows(texts)
        rows -= np.any(rows, axis=1)[:, None] * self.mean
        return _unit(rows)

    def dumps(self) -> bytes:
        """The mean as an .npz; the folder stays where it is."""
        file = io.BytesIO()
        np.savez(file, mean=self.mean, documents=np.int64(self.documents))
        return file.getvalue()


def loads(folder: Folder, data: bytes) -> Model:
    """The model that `dumps` kept, of the same folder."""
    with np.load(io.BytesIO(data), allow_pickle=False) as kept:
        return Model(folder, kept["mean"], int(kept["documents"]))


def fit(folder: Folder, texts: Sequence[str]) -> Model:
    """The folder's model, with the mean of these texts (one or more; FIT_ON are enough)."""
    if not texts:
        raise ValueError("a model needs at least one text")
    share = len(texts) / (len(texts) + MEAN_AFTER)
    mean = np.asarray(folder.rows(texts).mean(axis=0) * share, np.float32)
    return Model(folder, mean, len(texts))


def of_a_folder(version: str) -> bool:
    """Whether a version is one of these; a fitted model's has no hyphen."""
    return "-" in version


def load(path: Path) -> Folder:
    """The folder, ready to embed: loaded once, and again when its content has changed.

    Raises Unusable.
    """
    recipe = read(path)
    stats = [file.stat() for file in recipe.files()]
    found = _load(recipe, tuple((stat.st_mtime_ns, stat.st_size) for stat in stats))
    if isinstance(found, Unusable):
        raise found
    return found


def read(path: Path) -> Recipe:
    """What the small files ask for, and whether the large ones are there; raises Unusable."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise Unusable(f"The package {package} is not installed.", INSTALL)
    try:
        return _recipe(path)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error}", CHOOSE) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{path} is not what sentence-transformers writes: {error!r}."
        raise Unusable(what, COMPLETE) from error


def _unit(rows: Rows) -> Rows:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


def _recipe(path: Path) -> Recipe:
    if not path.is_dir():
        raise Unusable(f"{path} is not a folder.", CHOOSE)
    parts = _parts(path)
    inner = path / parts["Transformer"]
    config = _json(inner / "config.json")
    how = _json(inner / "sentence_bert_config.json", optional=True)
    limits = _json(inner / "tokenizer_config.json", optional=True)
    about = _json(path / "config_sentence_transformers.json", optional=True)
    return Recipe(
        graph=_whole(inner / "onnx" / "model.onnx", EXPORT),
        tokenizer=_whole(inner / "tokenizer.json", COMPLETE),
        pooling=_pooling(path / parts["Pooling"] / "config.json"),
        tokens=_tokens(how, limits, config),
        prompt=_prompt(about),
        lower=bool(how.get("do_lower_case")),
    )


def _parts(path: Path) -> dict[str, str]:
    """The parts of the model, by kind, and their folders."""
    parts = _json(path / "modules.json")
    found = {str(part["type"]).rpartition(".")[2]: str(part["path"]) for part in parts}
    if not NEEDED <= set(found) <= KNOWN:
        raise Unusable(f"{path} is made of {', '.join(found) or 'nothing'}.", OTHER)
    return found


def _json(path: Path, optional: bool = False) -> Any:
    if not path.is_file():
        if optional:
            return {}
        raise Unusable(f"{path} is missing.", COMPLETE)
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise Unusable(f"{path} is not JSON: {error}.", COMPLETE) from error


def _whole(path: Path, hint: str) -> Path:
    if not path.is_file():
        raise Unusable(f"{path} is missing.", hint)
    with path.open("rb") as file:
        if file.read(8) == b"version ":
            what = f"{path} is a pointer of Git LFS, not the file itself."
            raise Unusable(what, "git lfs pull")
    return path


def _pooling(path: Path) -> tuple[str, ...]:
    config = _json(path)
    before = [new for old, new in POOLING_BEFORE.items() if config.get(old)]
    modes = config.get("pooling_mode") or before or "mean"
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if unknown := set(modes) - set(POOLING):
        raise Unusable(f"{path} pools by {', '.join(sorted(unknown))}.", OTHER)
    if config.get("include_prompt") is False:
        raise Unusable(f"{path} leaves the prompt out of the pooling.", OTHER)
    return modes


def _tokens(how: Json, limits: Json, config: Json) -> int:
    """How many tokens of a text the model was made to read, as sentence-transformers finds it."""
    if said := how.get("max_seq_length"):
        return min(int(said), MOST_TOKENS)
    said = [limits.get("model_max_length"), config.get("max_position_embeddings")]
    return int(min([n for n in said if n and n > 0] + [MOST_TOKENS]))


def _prompt(about: Json) -> str:
    """What the model wants before a document: its prompt for one, or for everything."""
    prompts = about.get("prompts") or {}
    names = [name for name in ("document", "passage", "corpus") if name in prompts]
    name = names[0] if names else about.get("default_prompt_name")
    return str(prompts.get(name) or "")


@lru_cache(maxsize=1)
def _load(recipe: Recipe, stamp: object) -> Folder | Unusable:
    """The folder, once it has shown that it works; `stamp` tells contents apart.

    What does not work is remembered too: to find out can take a second, for each batch.
    """
    try:
        folder = Folder(
            _mark(recipe), recipe, _tokenizer(recipe), _session(recipe.graph)
        )
        works = folder.rows(["a probe"]).any()
    except Exception as error:  # neither library says what its own may be
        return Unusable(f"{recipe.graph} does not work: {error}", EXPORT)
    if not works:
        return Unusable(f"{recipe.graph} answers with no numbers.", EXPORT)
    return folder


def _mark(recipe: Recipe) -> str:
    """Twelve hexadecimal digits of all that decides about the rows, and a hyphen."""
    read_as = (recipe.pooling, recipe.tokens, recipe.prompt, recipe.lower)
    seen = hashlib.sha256(repr(read_as).encode())
    for path in recipe.files():
        with path.open("rb") as file:
            seen.update(hashlib.file_digest(file, "sha256").digest())
    return f"{seen.hexdigest()[:12]}-"


def _tokenizer(recipe: Recipe) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(recipe.tokenizer))
    tokenizer.no_padding()  # the file may pad every text to its longest
    tokenizer.enable_truncation(recipe.tokens)
    return tokenizer


def _session(graph: Path) -> Any:
    """The graph on one thread, as the BLAS of every process here."""
    # From 1.29 on ONNX Runtime tells its makers about every model that is loaded, unless
    # this stands in the environment when it is imported. Nothing leaves this machine.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

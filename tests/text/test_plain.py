"""The plain text of papers: total, lossless in its words, and pleasant to read."""

# The signs that look like others are what is tested.
# ruff: noqa: RUF001

import gzip
import json
import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.text import plain as plain_module
from digest.text.plain import find_code_url, to_plain_names, to_plain_text
from tests.conftest import DATA, needs_data

# Pieces that authors really write, in every order that chance finds.
TEX = st.lists(
    st.sampled_from(
        [
            *("\\", "{", "}", "$", "$$", "^", "_", "~", "%", "&", "``", "''", "--"),
            *("\\frac", "\\textbf", "\\href", "\\url", '\\"', "\\'", "\\c", "\\H"),
            *("\\alpha", "\\method", "\\begin{x}", "\\sqrt", "\\[", "\\\\", "\\{"),
            *("word", " ", "o", "10times", "https://example.org/a_b", "&#945;", "\n"),
            *("\ue000", "\ue0010\ue001", "\x00", "\u202e", "\u200b", "é", "漢"),
        ]
    ),
    max_size=40,
).map("".join)


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        # signs and accents
        (r"50\% of R\&D", "50% of R&D"),
        (r"Schr\"odinger, na\"ive, \`a la L\"owner", "Schrödinger, naïve, à la Löwner"),
        (r"Erd\H{o}s and \c{C}elik, Dvo\v r\'ak", "Erdős and Çelik, Dvořák"),
        (r"na\"{\i}ve and \o re, {\ss}", "naïve and øre, ß"),
        (r"syst{è}me and Fran{\c c}ois", "système and François"),
        (r'a \"quoted\" word', 'a "quoted" word'),
        # commands
        (r"\textit{slow} {\it and} {\sc steady} \emph{wins \textbf{it}}",
         "slow and steady wins it"),
        (r"our \method is \textsc{Best}", "our method is Best"),
        (r"\href{https://example.org}{here}, \href", "here (https://example.org),"),
        (r"a \textcolor{red}{red} word", "a red word"),
        (r"\begin{itemize} one \end{itemize}", "one"),
        # mathematics
        (r"$\alpha_t \leq 10^{-3}$", "αₜ ≤ 10⁻³"),
        (r"$1.13\times$ faster", "1.13× faster"),
        (r"$\mathbb{E}[x_{max}]$ in $\mathbb{R}^{d \times d}$", "𝔼[x_max] in ℝ^(d × d)"),
        (r"$\frac{a+b}{2}$ and $\frac{1}{3}$", "(a+b)/2 and 1/3"),
        (r"$O(n\log n)$, $\sqrt{\kappa}$, $\{0\}$", "O(n log n), √κ, {0}"),
        (r"K$_3$H(SO$_4$)$_2$", "K₃H(SO₄)₂"),
        (r"$a\quad\hbox{in } M$", "a in M"),
        ("10^5 and 10^{-3} and R^2", "10⁵ and 10⁻³ and R²"),
        ("UNIT_{cut}", "UNIT_cut"),
        (r"$\frac12 + \frac ab$, $\tfrac{1}{2n}$", "1/2 + a/b, 1/(2n)"),
        (r"$\binom{2p}{p-1}n$, ${n \choose k}$", "C(2p, p-1)n, C(n, k)"),
        (r"$x^{a \over b}$, $n^{{2-r\over r}}$", "x^(a/b), n^((2-r)/r)"),
        (r"at least (1+2p\binom{2p}{p-1})n", "at least (1+2pC(2p, p-1))n"),
        (r"$\mathcal C^{1,1}$, $\mathbf q$, $\mathbb R$", "C^(1,1), q, ℝ"),
        (r"$\bar{D}$, $\tilde g$, $\vec B$, $\hat{\mathbf q}$, $\dot H^5$",
         "D̄, g̃, B⃗, q̂, Ḣ⁵"),
        (r"$\not\equiv 0$, $a \not= b$, $x \not \in Y$", "≢ 0, a ≠ b, x ∉ Y"),
        (r"(0 \textless{} $\mu$ \textless{} 1)", "(0 < μ < 1)"),
        (r"$\biggl(\frac{m^2}{2}\biggr)$, $\left. x \right|_0$", "(m²/2), x |₀"),
        (r"\[ \sum_{k=1}^n \frac{1}{\delta} \] and \(\alpha\)", "∑ₖ₌₁ⁿ 1/δ and α"),
        (r"\begin{align} a &= b \\ c &= d \end{align}", "a = b c = d"),
        (r"the $n^{3/2}$ or O(n^{3/2}) or $L^{\infty}$", "the n^(3/2) or O(n^(3/2)) or L^∞"),
        (r"$\operatorname{rank} A$, $a\bmod{m}$, $5 \pmod 6$",
         "rank A, a mod m, 5 (mod 6)"),
        (r"$\sqrt[3]{x}$, $\overset{d}{=}$, $\sin {\kern 1pt} x$", "³√x, =ᵈ, sin x"),
        # notes and citations
        (r"it works.\footnote{Code is available.}", "it works. (Code is available.)"),
        (r"see \cite[Theorem 2]{berg}, \cite{lund}", "see [berg, Theorem 2], [lund]"),
        (r"done. \keywords{Lamps, Lakes}", "done. Keywords: Lamps, Lakes"),
        (r"\begin{itemize} \item One \item[a] Two \end{itemize}", "• One •[a] Two"),
        # braces that group are dropped, sets stay
        ("{Deep} and {possibly discordant} trees in [0, 1}", "Deep and possibly discordant trees in [0, 1"),
        (r"in {-1, 1}^n, $\{0, 1\}$ and 22{,}879", "in {-1, 1}^n, {0, 1} and 22,879"),
        ("at {https://example.org/a}", "at https://example.org/a"),
        ("emph{personality diagnosis} and a frac{1}{2}", "personality diagnosis and a 1/2"),
        # stacked accents and entities
        (r"Nguy\~{\^e}n Th\'{\u a}ng", "Nguyễn Thắng"),
        (r"\'{\i}, \v{C}ech, \'\i s, \c{S}, \u{a}, \r A, \k{e}", "í, Čech, ís, Ş, ă, Å, ę"),
        ("AT&amp;T and R&amp;D, &alpha;&nbsp;&lt; 1", "AT&T and R&D, α < 1"),
        # punctuation
        ("``quotes'' and `one'", "“quotes” and ‘one’"),
        ("MiMo -- From 3--4 --- on", "MiMo – From 3–4 — on"),
        ("GPT~4 costs ~10", "GPT 4 costs ~10"),
        # what copies without backslashes look like
        ("10times faster", "10× faster"),
        ("Mixtral-8times7B, 3Dtimes3D", "Mixtral-8×7B, 3D×3D"),
        ("3.5 times speedup, sometimes", "3.5 times speedup, sometimes"),
        ("see url{https://example.org/a_b}.", "see https://example.org/a_b."),
        ("at https://example.org/a/{https://example.org/a/}.",
         "at https://example.org/a/."),
        ("https://example.org/a{our code} is", "our code (https://example.org/a) is"),
        # one line of shown signs
        ("hard\n  wrapped\ttitle", "hard wrapped title"),
        ("zero\u200bwidth \u202ereversed\u202c \x00nul Schr\x7fodinger",
         "zerowidth reversed nul Schrodinger"),
        ("half \ud800 a character", "half a character"),
        ("&#945;-decay", "α-decay"),
    ],
)  # fmt: skip
def test_latex_becomes_unicode(raw, plain):
    assert to_plain_text(raw) == plain


@pytest.mark.parametrize(
    "raw",
    [
        "<eos> and <unit, speech> & KV_{<=i}",
        "plain_text and model_1 and --flag and a<b>c",
        "$5 and $6, or $5-$6",
        "R&D, AT&T, &nosuchname;, A & B",
        "https://example.org/a_b~c_{1}",
        "see github.com/invented/re_po.",
        '<img src=x onerror=alert(1)> & "A" {{ template }} {% tag %}',
        "100% of a_b",
        "",
    ],
)
def test_text_without_latex_is_unchanged(raw):
    assert to_plain_text(raw) == raw


def test_markup_and_line_breaks_in_a_title_become_one_line():
    raw = '<img src=x onerror=alert(1)> & "A\nBcc: x@y"'

    assert to_plain_text(raw) == '<img src=x onerror=alert(1)> & "A Bcc: x@y"'


def test_failed_conversion_keeps_the_raw_words(monkeypatch, caplog):
    def fail(_):
        raise RecursionError

    monkeypatch.setattr(plain_module, "latex_to_unicode", fail)

    assert to_plain_text("a \\bad \n abstract") == "a \\bad abstract"
    assert "text left raw" in caplog.text


@given(st.text())
def test_any_text_becomes_one_printable_line(raw):
    assert_one_printable_line(to_plain_text(raw))


@given(TEX)
def test_any_tex_becomes_one_printable_line(raw):
    assert_one_printable_line(to_plain_text(raw))


def assert_one_printable_line(plain):
    assert plain == " ".join(plain.split())
    assert not [c for c in plain if unicodedata.category(c) in {"Cc", "Cf", "Co", "Cs"}]


@given(st.text(st.characters(exclude_characters="\\$~^_{}`-&")))
def test_plain_text_is_idempotent(raw):
    once = to_plain_text(raw)

    assert to_plain_text(once) == once


@given(TEX)
def test_words_between_commands_are_kept(raw):
    seen = raw.translate(dict.fromkeys(map(ord, "\ue000\ue001\x00\u202e\u200b")))

    assert_words_are_kept(seen, to_plain_text(raw))


@pytest.mark.parametrize(
    "piece",
    [
        *("{", "}", "{}", "\\textbf{", "``", "$a", "$", "$$", "\\frac{", "\\frac", "`"),
        *("x_{", "^{", "^", "\\'{", "\\'", "](", "\\[", "\\(", "\\]", "\\begin{a}"),
        *(
            "\\end{a}",
            "\\cite[",
            "[",
            "{\\over",
            "\\over ",
            "\\not",
            "\\sqrt[",
            "\\left",
        ),
        *(
            "\\begin{array}{",
            "\\href{a}",
            "&amp;",
            "&a",
            "\\\\",
            "\\",
            "https://a",
            "a~",
        ),
        *("url{", "https://a{", "emph{", "\\kern 1pt", "\\operatorname", "--", "times"),
    ],
)
def test_repeated_openings_are_converted_in_linear_time(piece):
    start = time.process_time()

    assert_one_printable_line(to_plain_text(piece * (100_000 // len(piece))))

    assert time.process_time() - start < 5  # a quadratic conversion takes minutes


def assert_words_are_kept(raw, plain):
    for word in words(raw):
        assert word in plain, (word, raw[:300])


def words(raw):
    """Runs of three letters or more that no TeX command owns."""
    for command in (
        r"(?<=\d)times|(?<=\dD)times",  # \times without its backslash
        r"\burl\{",
        r"&#[xX]?[0-9a-fA-F]+;|&\w+;|\\label\{[^{}]*\}",
        r"\b(?:emph|text(?:it|bf|tt|sc)|math\w+|frac|footnote|cite)\{",
        r"\\(?:begin|end)\s*\{[A-Za-z*]*\}",
        r"\\(?:text)?color\s*\{[A-Za-z]*\}",
        r"\\[`'^~=\".]\s*\{?\s*(?:\\[A-Za-z]+|[A-Za-z]?)",  # only the accented letter
        r"\\[uvHcdbkr]\s*\{\s*(?:\\[A-Za-z]+|[A-Za-z]?)",
        r"\\[uvHcdbkr]\s+[A-Za-z]",
        r"\\[A-Za-z]+",
    ):
        raw = re.sub(command, "|", raw)
    return re.findall(r"[A-Za-z]{3,}", raw)


@needs_data
@pytest.mark.parametrize("name", ["seed_papers.jsonl", "corpus/edge_cases.jsonl"])
def test_words_of_recorded_papers_are_kept(name):
    lines = (DATA / name).read_text("utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]

    assert len(rows) in {810, 468}
    for row in rows:
        for raw in (row["title"], row["abstract"] or ""):
            plain = to_plain_text(raw)
            assert_one_printable_line(plain)
            assert_words_are_kept(raw, plain)


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("Code: https://github.com/inv/rep.", "https://github.com/inv/rep"),
        (r"(\url{https://github.com/inv/re\_po})", "https://github.com/inv/re_po"),
        ("at github.com/inv/rep, and", "https://github.com/inv/rep"),
        ("https://gitlab.com/inv/rep/-/tree/a", "https://gitlab.com/inv/rep/-/tree/a"),
        ("https://github.com/inv alone", ""),
        ("https://notgithub.com/inv/rep", ""),
        ("https://example.org/?q=github.com", ""),
        ("nothing", ""),
    ],
)
def test_find_code_url_returns_the_first_repository(raw, url):
    assert find_code_url(raw) == url


def test_to_plain_names_drops_empty_names():
    assert to_plain_names([r"M\"uller", " ", "Ada Okafor"]) == ["Müller", "Ada Okafor"]


# Names that only TeX uses as words; authors' own macros keep their names.
COMMANDS = re.compile(
    r"(?<![A-Za-z])(?:[dt]?frac|math(?:cal|bf|rm|bb|scr|frak|sf)|text(?:less|greater|bf|it)"
    r"|widetilde|widehat|overline|footnote|biggl|biggr|operatorname|displaystyle)(?![A-Za-z])"
)


@needs_data
@pytest.mark.slow
def test_no_known_command_of_forty_thousand_papers_leaks():
    leaking, braces = {}, {}
    with gzip.open(DATA / "corpus" / "papers_sample_40k.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            for raw in (row["title"], row["abstract"] or ""):
                plain = to_plain_text(raw)
                prose = re.sub(r"\\[A-Za-z]+", "", raw)
                if len(COMMANDS.findall(plain)) > len(COMMANDS.findall(prose)):
                    leaking[row["id"]] = plain
                literal = len(re.findall(r"\\[{}]|\\[lr]brace", raw))
                if len(re.findall(r"[{}]", plain)) > literal:
                    braces[row["id"]] = plain

    assert leaking == {}
    assert len(braces) < 60  # sets as their authors typed them: {-1, 1}

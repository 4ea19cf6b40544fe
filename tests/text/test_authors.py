"""Author lists split into names, and names compared with names."""

import time

import pytest

from digest.text.authors import (
    NameMatch,
    match_names,
    name_parts,
    split_authors,
    split_entered_names,
)


@pytest.mark.parametrize(
    ("joined", "names"),
    [
        ("Ana Roe, Bo Li", ["Ana Roe", "Bo Li"]),
        ("Sammy Roe, Jr., Bo Li", ["Sammy Roe, Jr.", "Bo Li"]),
        ("Ed Roe, III", ["Ed Roe, III"]),
        ("Ana Roe (Lab A, Town), Bo Li (1)", ["Ana Roe", "Bo Li"]),
        (
            "Ana Roe (1), Bo Li (2) ((1) Lab, Town, (2) Other Lab)",
            ["Ana Roe", "Bo Li"],
        ),
        ("ARGO Collaboration, A. Roe", ["ARGO Collaboration", "A. Roe"]),
        (
            "A. Roe, (for the ARGO Collaboration)",
            ["A. Roe", "(for the ARGO Collaboration)"],
        ),
        ("  Ana\n  Roe ,, ", ["Ana Roe"]),
        ("Jr., Ana Roe", ["Jr.", "Ana Roe"]),
        ("Ana Roe), Bo Li (1), Cy Doe", ["Ana Roe)", "Bo Li", "Cy Doe"]),
        ("Ana Roe (unclosed, Bo Li", ["Ana Roe"]),
        ("Ola Berg (Alibaba Group), Pia Lund (Ant Group)", ["Ola Berg", "Pia Lund"]),
        ("Ola Berg, Pia Lund, et al.", ["Ola Berg", "Pia Lund"]),
        ("Ola Berg et al", ["Ola Berg"]),
        ("Ola Berg, Pia Lund, and others", ["Ola Berg", "Pia Lund"]),
        ("Ola Berg and Pia Lund", ["Ola Berg", "Pia Lund"]),
        ("Ola Berg, Pia Lund, and Kim Dahl", ["Ola Berg", "Pia Lund", "Kim Dahl"]),
        ("Ola Berg & Pia Lund", ["Ola Berg", "Pia Lund"]),
        (
            "ARGO Collaboration: A. Roe, B. Li",
            ["ARGO Collaboration", "A. Roe", "B. Li"],
        ),
        (
            "ARGO Collaboration, NOVA Team: A. Roe",
            ["ARGO Collaboration", "NOVA Team", "A. Roe"],
        ),
        ("A. Roe (for the ARGO Collaboration), B. Li", ["A. Roe", "B. Li"]),
        ("Wei (Vivian) Zhang, Pia Lund (MIT)", ["Wei (Vivian) Zhang", "Pia Lund"]),
        ("Ola Berg (Lab A) Pia Lund (Lab B)", ["Ola Berg", "Pia Lund"]),
        (
            "Ola Berg (1 and 2), Pia Lund (2) ((1) Lab, (2) Town)",
            ["Ola Berg", "Pia Lund"],
        ),
        ("J.R. Berg, J.-P. Lund", ["J. R. Berg", "J.-P. Lund"]),
        ("Sandy Anders", ["Sandy Anders"]),
        ("", []),
    ],
)
def test_split_authors_separates_names(joined, names):
    assert split_authors(joined) == names


def test_split_authors_reads_thousands_of_names():
    names = [f"Author Number{n}" for n in range(3303)]

    assert split_authors(", ".join(names)) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Ola Berg, Pia Lund", ["Ola Berg", "Pia Lund"]),
        ("Ola Berg and Pia Lund", ["Ola Berg", "Pia Lund"]),
        ("Berg, Ola; Lund, Pia", ["Berg, Ola", "Lund, Pia"]),
        ("Ola Berg;", ["Ola Berg"]),
        ("Berg, Ola", ["Berg, Ola"]),
        ("van der Berg, Jan-Erik", ["van der Berg, Jan-Erik"]),
        ("Berg, O. K.", ["Berg, O. K."]),
        ("Berg, Ola Kai", ["Berg, Ola Kai"]),
        ("Ola Berg, Jr.", ["Ola Berg, Jr."]),
        ("Ola Berg", ["Ola Berg"]),
        (" , ", []),
    ],
)
def test_entered_names_are_split(text, names):
    assert split_entered_names(text) == names


def test_split_authors_is_linear():
    start = time.process_time()

    for piece in (
        "(a1",
        "(",
        ")",
        "()",
        "a (",
        "(a) b ",
        " and ",
        " &",
        ", ",
        "et al ",
        "J.",
    ):
        split_authors(piece * (200_000 // len(piece)))

    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ("Lukasz Berg", "Łukasz Berg", NameMatch.FULL),
        ("Soren Aegir", "Søren Ægir", NameMatch.FULL),
        ("Dordevic Weiss", "Đorđević Weiß", NameMatch.FULL),
        ("Yildiz Lund", "Y\u0131ld\u0131z Lund", NameMatch.FULL),
        ("Ola Berg", "Ola Berg, Jr.", NameMatch.FULL),
        ("Ola Berg", "Ola Berg III", NameMatch.FULL),
        ("Berg, Ola", "Ola Berg", NameMatch.FULL),
        ("Pia O'Lund", "Pia O\u2019Lund", NameMatch.FULL),
        ("Jean-Pia Lund", "Jean\u2010Pia Lund", NameMatch.FULL),
        ("Jean-Pia Lund", "Jean Pia Lund", NameMatch.FULL),
        ("Xiao-Ming Li", "Xiaoming Li", NameMatch.SAME),
        ("Berg Ola", "Ola Berg", NameMatch.SAME),
        ("Ola Berg", "Ola Kai Berg", NameMatch.SAME),
        ("Ola Kai Berg", "Ola K. Berg", NameMatch.INITIALS),
        ("Ola Kai Berg", "O. Berg", NameMatch.INITIALS),
        ("J.-P. Lund", "Jean-Pierre Lund", NameMatch.INITIALS),
        ("Berg", "Ola Berg", NameMatch.SURNAME),
        ("Ola Kai Berg", "Ola Max Berg", NameMatch.NONE),
        ("Pia Berg", "Ola Berg", NameMatch.NONE),
        ("", "Ola Berg", NameMatch.NONE),
    ],
)
def test_match_names(first, second, match):
    assert match_names(name_parts(first), name_parts(second)) == match
    assert match_names(name_parts(second), name_parts(first)) == match

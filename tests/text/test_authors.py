"""Author lists: names, suffixes, affiliations and groups."""

import pytest

from digest.text.authors import split_authors


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
        ("", []),
    ],
)
def test_split_authors_separates_names(joined, names):
    assert split_authors(joined) == names


def test_split_authors_reads_thousands_of_names():
    names = [f"Author Number{n}" for n in range(3303)]

    assert split_authors(", ".join(names)) == names

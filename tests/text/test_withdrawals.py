"""Wording of withdrawals, in comments and abstracts."""

import pytest

from digest.text.withdrawals import says_withdrawn


@pytest.mark.parametrize(
    "comments",
    [
        "Withdrawn. ",
        "withdrawn",
        "  withdrawn by the author",
        "15 pages. Withdrawn by the authors for revisions",
        "Administratively withdrawn due to policy violations",
        "This paper has been withdrawn due to an error",
        "This submission is now withdrawn.",
        "the paper is withdrawn",
        "7 pages, 7 figures, The paper has been withdrawn due to changes",
        "The paper is withdrawn from arXiv due to a gap in the proof",
        "arXiv admin note: this version has been removed by arXiv administrators",
        "arXiv admin note: withdrawn by arXiv admin because of its policy",
        "This paper was submitted by mistake and has now\n been withdrawn",
        "The authors withdraw this manuscript: an error was found",
        "We want to withdraw the paper due to some error in it",
        "This version contains errors, we decide to withdraw it.",
        "I am withdrawing my paper from arXiv",
        "withdrawal for completion, some experiments need to be added",
        "This article has been retracted by its authors",
        "Paper withdrawn",
        "Article withdrawn by the authors; error in section 3",
        "10 pages, 3 figures. Paper has been withdrawn",
        "15 pages, withdrawn",
        "13 pages - withdrawn by the author",
        "[Withdrawn]",
        "10 pages (withdrawn)",
        "arXiv admin note: submission has been withdrawn by arXiv administrators",
        "This eprint had been withdrawn",
    ],
)
def test_comments_that_say_withdrawn(comments):
    assert says_withdrawn(comments, "")


@pytest.mark.parametrize(
    "comments",
    [
        "",
        "9 pages",
        "We withdraw from the usual assumption. 9 pages",
        "We withdraw the assumption of the first version",
        "We say when money is withdrawn. ",
        "The withdrawn light",
        "Withdrawnness",
        "This paper has been withdrawn from ICIR 2026 and is under review",
        "of a workshop but was withdrawn due to funding problems",
        "An earlier version was withdrawn; this one is corrected",
        "Submitted to, withdrawn from, and accepted by ICLR 2026",
        "Paper withdrawn from ICLR 2026",
        "A data set of accepted, withdrawn and rejected papers",
    ],
)
def test_comments_that_do_not_say_withdrawn(comments):
    assert not says_withdrawn(comments, "")


@pytest.mark.parametrize(
    ("abstract", "is_withdrawn"),
    [
        ("This paper has been withdrawn by the author due to errors.", True),
        ("Withdrawn. ", True),
        ("Paper withdrawn", True),
        ("[Withdrawn]", True),
        ("The authors have withdrawn this paper because of an error", True),
        ("Retracted papers are cited for years.", False),
        ("Withdrawn due to extensions", True),
        ("Admin note: withdrawn by arXiv admin. We measure rivers.", True),
        ("This article has been withdrawn by arXiv administrators", True),
        ("When a plate is withdrawn from a bath, rivers form.", False),
        ("Withdrawn plates form rivers.", False),
        ("We study how a paper is retracted. The paper was retracted often.", False),
    ],
)
def test_only_the_beginning_of_an_abstract_says_withdrawn(abstract, is_withdrawn):
    assert says_withdrawn("", abstract) is is_withdrawn

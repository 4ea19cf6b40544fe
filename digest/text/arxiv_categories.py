"""arXiv's categories and archives (https://arxiv.org/category_taxonomy, read in 2026)."""

from collections.abc import Callable, Iterable

_CLASSES = {
    "astro-ph": "CO EP GA HE IM SR",
    "cond-mat": "dis-nn mes-hall mtrl-sci other quant-gas soft stat-mech str-el supr-con",
    "cs": (
        "AI AR CC CE CG CL CR CV CY DB DC DL DM DS ET FL GL GR GT HC IR IT LG LO MA MM "
        "MS NA NE NI OH OS PF PL RO SC SD SE SI SY"
    ),
    "econ": "EM GN TH",
    "eess": "AS IV SP SY",
    "math": (
        "AC AG AP AT CA CO CT CV DG DS FA GM GN GR GT HO IT KT LO MG MP NA NT OA OC PR "
        "QA RA RT SG SP ST"
    ),
    "nlin": "AO CD CG PS SI",
    "physics": (
        "acc-ph ao-ph app-ph atm-clus atom-ph bio-ph chem-ph class-ph comp-ph data-an "
        "ed-ph flu-dyn gen-ph geo-ph hist-ph ins-det med-ph optics plasm-ph pop-ph "
        "soc-ph space-ph"
    ),
    "q-bio": "BM CB GN MN NC OT PE QM SC TO",
    "q-fin": "CP EC GN MF PM PR RM ST TR",
    "stat": "AP CO ME ML OT TH",
}
# Archives without classes are categories themselves.
_PLAIN = (
    *("gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th", "math-ph"),
    *("nucl-ex", "nucl-th", "quant-ph"),
)
ARCHIVES = frozenset((*_CLASSES, *_PLAIN))
CATEGORIES = frozenset(
    (
        *_PLAIN,
        *(
            f"{archive}.{name}"
            for archive, names in _CLASSES.items()
            for name in names.split()
        ),
    )
)


def normalize_categories(names: Iterable[str]) -> list[str]:
    """Strip spaces, write `cs.*` as the archive `cs`, and drop empty and repeated names."""
    stripped = (name.strip().removesuffix(".*") for name in names)
    return list(dict.fromkeys(name for name in stripped if name))


def unknown_categories(names: Iterable[str]) -> list[str]:
    listed_names = CATEGORIES | ARCHIVES
    return [name for name in normalize_categories(names) if name not in listed_names]


def archive_of(category: str) -> str:
    return category.partition(".")[0]


def is_selected(category: str, selected: Iterable[str]) -> bool:
    """Whether the category itself or its whole archive is selected.

    An archive counts as selected where any of its categories is.
    """
    names = normalize_categories(selected)
    if category in names or archive_of(category) in names:
        return True
    return any(name.startswith(f"{category}.") for name in names)


def category_matcher(selected: Iterable[str]) -> Callable[[Iterable[str]], bool]:
    """Return a test whether a paper of these categories belongs to the selected ones."""
    names = set(normalize_categories(selected))

    def matches(categories: Iterable[str]) -> bool:
        return any(
            category in names or archive_of(category) in names
            for category in categories
        )

    return matches

"""The Rad scores in an SR: each a container with its score, its group and what every feature gives.

Comes in: the answers of signatures, from stage 8. Goes out: containers of the Qualitative Evaluations (`clinical`), and
for a signature that gave no score a sentence that says why. A number that is missing is told with all others
(`archival`). What a manifest says of itself stands in its own words, in English.
"""

from collections.abc import Iterator

from node.core.codes import MEASUREMENTS, RAD_GROUP, RAD_SCORE, ucum
from node.core.private_codes import (
    RAD_CONTRIBUTION,
    RAD_FEATURE,
    RAD_PLACE,
    RAD_SCORE_BY,
    RAD_SIGNATURE,
    RAD_VALUE,
)
from node.core.reasons import NotComputed
from workers.report import sentences, tree
from workers.report.document import Findings
from workers.report.pieces import said
from workers.report.tree import HAS_CONCEPT_MOD, Item
from workers.report.wording import Words
from workers.signature.parts import Figure
from workers.signature.score import Contribution, Scored, Withheld


def scored(findings: Findings) -> list[Scored]:
    """Return the scores that there are."""
    answers = findings.measured.rad_scores if findings.measured else ()
    return [one for one in answers if isinstance(one, Scored)]


def names(findings: Findings) -> list[str]:
    """Return the ids of the numbers that the containers hold."""
    parts = [f"rad_score.{one.signature.id}.{part}" for one in scored(findings) for part in ("score", "group")]
    return [name for name in parts if name in MEASUREMENTS]


def containers(findings: Findings) -> list[Item]:
    """Return a container for each score."""
    return [tree.container(RAD_SCORE_BY, list(_items(one, findings))) for one in scored(findings)]


def why_not(findings: Findings) -> Iterator[str]:
    """Yield a sentence for each signature that gave no score, but for one that gives none to anybody."""
    for one in findings.measured.rad_scores if findings.measured else ():
        if isinstance(one, Withheld) and one.reason is not NotComputed.SIGNATURE_INCOMPLETE:
            yield findings.words("rad.why_not", signature=one.signature.id, why="; ".join(one.why))


def _items(one: Scored, findings: Findings) -> Iterator[Item]:
    signature, words = one.signature, findings.words
    told = {"signature": signature.id, "version": signature.version, "digest": signature.digest}
    yield tree.text(RAD_SIGNATURE, words("rad.signature", **told))
    yield tree.number(RAD_SCORE, round(one.score, tree.DECIMALS), ucum("1"))
    yield tree.text(RAD_GROUP, one.group)
    yield tree.number(RAD_PLACE, round(100 * one.place, 1), ucum("%"))
    yield from map(_contribution, one.contributions)
    own = [name for name in names(findings) if name.startswith(f"rad_score.{signature.id}.")]
    yield from map(said, sentences.remarks(own, findings))
    yield from map(said, about(one, words))


def _contribution(one: Contribution) -> Item:
    """Return what a feature gives, and below it which feature it is and its value."""
    name = f"{one.name} ({one.roi})" if one.roi else one.name
    below = [tree.text(RAD_FEATURE, name, HAS_CONCEPT_MOD), tree.number(RAD_VALUE, one.value, ucum("1"))]
    return tree.number(RAD_CONTRIBUTION, round(one.points, tree.DECIMALS), ucum("1"), below)


def about(one: Scored, words: Words) -> Iterator[str]:
    """Yield what a reader should know of a signature: what it foretells, whom it was made from, how good it was."""
    signature = one.signature
    yield words("rad.foretells", endpoint=signature.endpoint.name, text=signature.endpoint.text)
    yield words("rad.population", population=signature.population, source="; ".join(signature.citation))
    for figure in signature.validation:
        yield words("rad.figure", name=figure.name, figure=_figure(figure, words), method=figure.method)
    yield words("rad.use", use=signature.intended_use)


def _figure(one: Figure, words: Words) -> str:
    if one.low is None:
        return f"{one.value:.3f}"
    return words("rad.interval", value=one.value, low=one.low, high=one.high)

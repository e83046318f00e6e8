"""The manifest of a signature that was fitted: numbers from the fit, figures from the outer folds, words from `about`.

In: cohort, the signature of all patients, the judgement, the words. Out: `Signature`. What can go wrong: `WrongCohort`
where words and numbers do not fit together, or where no feature was chosen. Next: `command` writes it.
"""

from collections.abc import Mapping

from pydantic import ValidationError

from workers.signature.deep import is_deep
from workers.signature.manifest import Extraction, Feature, Signature
from workers.signature.parts import Distribution, Figure, Groups, Training
from workers.training.signature.about import About
from workers.training.signature.cohort import Cohort
from workers.training.signature.judgement import Interval, Judgement
from workers.training.signature.procedure import Fitted, Plan
from workers.training.signature.tables import WrongCohort

METHOD = (
    "outer folds of a {folds}-fold cross-validation, {repeats} times, of the whole procedure; pairs within a fold; "
    "95 % interval by a bootstrap of patients"
)


def manifest(
    cohort: Cohort,
    fitted: Fitted,
    judged: Judgement,
    about: About,
    plan: Plan,
    classes: Mapping[str, list[str]] | None = None,
) -> Signature:
    """Return the manifest; `classes` are what was extracted, or else all of each class that the cohort has some of.

    Raises
    ------
    WrongCohort
        It would not be one.
    """
    if not len(fitted.places):
        raise WrongCohort("the procedure chose no feature on all patients, so there is no signature; see report.json")
    facts = set(about.facts)
    measured = {cohort.names[place] for place in fitted.places} - facts
    deep = {name for name in measured if is_deep(name)}
    if not measured:
        about = about.model_copy(
            update={"rois": (), "requires": about.requires.model_copy(update={"mask_provenance": {}})}
        )
    try:
        return Signature(
            id=about.id,
            version=about.version,
            title=about.title,
            citation=about.citation,
            licence=about.licence,
            population=about.population,
            endpoint=about.endpoint,
            intended_use=about.intended_use,
            requires=about.requires,
            rois=about.rois,
            extraction=_extraction(cohort, facts, classes) if measured - deep else None,
            features=tuple(_feature(cohort, fitted, place, about) for place in range(len(fitted.places))),
            groups=Groups(
                names=about.groups, cut_offs=(fitted.cut_off,), method="median of the scores of the training patients"
            ),
            training=Training(
                text=f"{about.population} Method: {fitted.method}, chosen with the number of features by inner folds.",
                patients=len(cohort.time),
                events=int(cohort.event.sum()),
                score=Distribution.of(fitted.score(cohort.values).tolist()),
                data=dict(cohort.digests),
            ),
            weights=_network(cohort) if deep else {},
            validation=_figures(judged, plan),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongCohort(f"the manifest does not fit together: {first['msg']}") from error


def _extraction(cohort: Cohort, facts: set[str], classes: Mapping[str, list[str]] | None) -> Extraction:
    """Return what the diagnostics columns say."""
    there = {name.split("_")[1] for name in cohort.names if name not in facts and name.count("_") > 1}
    said = cohort.extraction
    if "settings" not in said:
        raise WrongCohort("the table of features has no diagnostics columns, so nobody can compute them again")
    return Extraction(
        engine=f"PyRadiomics {str(said.get('pyradiomics', 'of unknown version')).removeprefix('v')}",
        image_types=said.get("image_types", {}),
        feature_classes=classes or {name: [] for name in sorted(there)},
        settings=said["settings"],
    )


def _network(cohort: Cohort) -> dict[str, str]:
    """Return the network that the diagnostics columns name, by its id and digest."""
    said = cohort.extraction
    if "network" not in said or "network_digest" not in said:
        raise WrongCohort(
            "the table does not say which network its deep features are of, so nobody can compute them again"
        )
    return {said["network"]: said["network_digest"]}


def _feature(cohort: Cohort, fitted: Fitted, place: int, about: About) -> Feature:
    column = int(fitted.places[place])
    name = cohort.names[column]
    return Feature(
        name=name,
        roi=None if name in about.facts else about.rois[0].id,
        text=about.facts.get(name, ""),
        logarithm=name in cohort.logarithms,
        mean=float(fitted.mean[place]),
        sd=float(fitted.sd[place]),
        coefficient=float(fitted.coefficients[place]),
        training=Distribution.of(cohort.measured[:, column].tolist()),
    )


def _figures(judged: Judgement, plan: Plan) -> tuple[Figure, ...]:
    how = METHOD.format(folds=plan.folds, repeats=plan.repeats)
    named: list[tuple[str, Interval, str]] = [
        ("C-index, outer", judged.c_index, f"Harrell's C; {how}"),
        (
            "hazard ratio of the groups, outer",
            judged.groups,
            f"Cox model with the folds as strata, median repeat; {how}",
        ),
    ]
    named += [(f"AUC at {years} years, outer", one, f"cumulative/dynamic; {how}") for years, one in judged.auc.items()]
    named += [
        (f"C-index of {name} alone", one.baseline, "Harrell's C of the value as it stands, in the same folds")
        for name, one in judged.baselines.items()
    ]
    return tuple(
        Figure(name=name, value=one.value, low=one.low, high=one.high, patients=one.patients, method=text)
        for name, one, text in named
    )

"""What a manifest says that no table holds: whom the cohort is of, what the score foretells, what a study must meet.

In: a TOML file that a person wrote, or none. Out: `About`. What can go wrong: `WrongCohort` for a file that is not in
the form, or for a prefix whose region of interest is unknown without one. Next: `export`.
"""

import re
import tomllib
from pathlib import Path

from pydantic import Field, ValidationError

from node.core.codes import Structure
from workers.signature.manifest import Choice, Roi, Slug
from workers.signature.parts import Endpoint, Part
from workers.signature.scope import MaskOrigin, Provenance, Requires
from workers.training.signature.cohort import Sources
from workers.training.signature.tables import WrongCohort

_KNOWN_ROIS = {
    "tumor": (Structure.LESION, Choice.LARGEST, "The largest tumour."),
    "liver": (Structure.LIVER, Choice.WHOLE, "The liver."),
}
_DRAWN = (MaskOrigin.MANUAL, MaskOrigin.SEMIAUTOMATIC)


class About(Part):
    """The words of a manifest, and its `requires`."""

    id: Slug
    version: str = "1"
    title: str
    citation: tuple[str, ...] = Field(min_length=1)
    licence: str
    population: str
    endpoint: Endpoint
    intended_use: str
    groups: tuple[str, str] = ("low", "high")
    requires: Requires
    rois: tuple[Roi, ...] = ()
    facts: dict[str, str] = Field(default_factory=dict, description="What each fact is, with unit or coding.")
    remarks: tuple[str, ...] = Field((), description="What a reader of the model card must know of how it came about.")


def read(path: Path) -> About:
    """Read the words from a file.

    Raises
    ------
    WrongCohort
        It is not in the form.
    """
    try:
        return About.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise WrongCohort(f"{path.name}: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongCohort(f"{path.name}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def plain(sources: Sources, out: Path) -> About:
    """Return words that say no more than the command does, and a `requires` that asks for drawn masks.

    Raises
    ------
    WrongCohort
        The prefix names no region of interest that is known.
    """
    id_ = re.sub(r"[^a-z0-9]+", "-", out.resolve().name.lower()).strip("-") or "signature"
    name = sources.prefix.rstrip("_")
    if name not in _KNOWN_ROIS:
        raise WrongCohort(f"nobody says what region {sources.prefix} is: name a file that does with --about")
    structure, choice, text = _KNOWN_ROIS[name]
    table = sources.features.name
    return About(
        id=id_,
        title=f"Signature fitted on {table}",
        citation=("not published",),
        licence="that of the cohort",
        population=f"the patients of {table}; nothing else is known of them",
        endpoint=Endpoint(
            name=sources.event, text=f"Counted by {sources.time}; a higher score goes with an earlier event."
        ),
        intended_use="Research on the procedure; not for patients.",
        requires=Requires(lossless=True, untreated_tumour=True, mask_provenance={name: Provenance(origins=_DRAWN)}),
        rois=(Roi(id=name, structure=structure, choice=choice, without_other_masks=False, text=text),),
        facts={fact: f"column {fact} of {sources.followup.name}" for fact in sources.every_fact},
    )

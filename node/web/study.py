"""A study's page: where it is, its numbers with context and doubt, pictures, series, deliveries, all that happened.

Comes in: a Study Instance UID, and perhaps the key of an earlier job. Goes out: the page; its live part alone for who
has it open; a key image. Whoever opens a page is in the audit trail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from node.core.codes import MEASUREMENTS, of_muscle
from node.core.ledger import audit, jobs
from node.core.records import Indication, RasStatus
from node.web import pages
from node.web.account import IMAGES, Account, gather, images_of
from node.web.guard import NotFound
from node.web.sessions import Person
from node.web.site import site_of

_GROUPS = {"psoas": "Psoas", "l1": "L1 vertebra", "liver": "Liver", "burden": "Tumour burden"}
FACTS = {
    "height_m": ("Height", "m, as 1.72", ()),
    "node_positive_primary": ("Node-positive primary", "", ("yes", "no")),
    "disease_free_interval_months": ("Disease-free interval", "months, 0 if found together", ()),
    "cea_ng_ml": ("CEA", "ng/mL, before treatment", ()),
    "ras": ("RAS", "", tuple(RasStatus)),
    "extrahepatic_disease": ("Extrahepatic disease", "", ("yes", "no")),
    "untreated_tumour": ("Untreated tumour at the CT", "", ("yes", "no")),
    "indication": ("CT taken before", "", tuple(Indication)),
}


@dataclass(frozen=True)
class Figure:
    """One number of a result, as the page shows it."""

    name: str
    value: str
    unit: str
    at_least: bool
    interval: tuple[str, str] | None
    reason: str
    notes: Sequence[Mapping[str, str]]
    context: Sequence[Mapping[str, Any]]


def show(request: Request, person: Person) -> Response:
    """Answer with the page; with its live part where the page itself asks."""
    site, uid = site_of(request), request.path_params["uid"]
    job = request.query_params.get("job", "")
    with site.ledger.reading() as session:
        account = gather(session, site.spool, uid, job)
    if request.query_params.get("seen") == account.fingerprint:
        return Response(status_code=204)
    part = "hx-request" in request.headers
    if not part:
        audit.note(site.ledger, audit.looked_at(uid, "page"))
    return pages.render(
        request,
        person,
        "_study_part.html" if part else "study.html",
        part=part,
        account=account,
        figures=(figures := figures_of(account.result)),
        shared=shared_notes(account.result),
        ranged=any(one.interval for group in figures.values() for one in group),
        facts=FACTS,
        typed=typed(account),
        here=f"/studies/{uid}" + (f"?job={job}" if job else ""),
        chosen=job,
    )


def image(request: Request, person: Person) -> Response:
    """Answer with a key image of a job of the study."""
    del person
    site, params = site_of(request), request.path_params
    with site.ledger.reading() as session:
        keys = [one.key for one in jobs.of_study(session, params["uid"])]
    if params["job"] not in keys or params["name"] not in images_of(site.spool, params["job"]):
        raise NotFound("There is no such picture.")
    path = site.spool.root / "work" / params["job"] / IMAGES / params["name"]
    return FileResponse(path, media_type="image/png", headers={"Cache-Control": "private, max-age=300"})


def figures_of(result: Mapping[str, Any] | None) -> Mapping[str, Sequence[Figure]]:
    """Return the numbers by group; what a signature says stands by itself."""
    if result is None or result["refusal"]:
        return {}
    psoas = result["quality"]["settings"]["psoas"]
    found: dict[str, list[Figure]] = {title: [] for title in _GROUPS.values()}
    for name, one in result["measurements"].items():
        title = _GROUPS.get(name.split(".")[0])
        if title is not None:
            found[title].append(_figure(name, one, psoas))
    return found


def shared_notes(result: Mapping[str, Any] | None) -> Sequence[Mapping[str, str]]:
    """Return the notes that every number of a result carries, which are told once."""
    if result is None or result["refusal"]:
        return ()
    carried = [one["notes"] for one in result["measurements"].values() if one["value"] is not None]
    return [note for note in carried[0] if all(note in notes for notes in carried)] if len(carried) > 1 else ()


def _figure(name: str, one: Mapping[str, Any], psoas: str) -> Figure:
    coding = MEASUREMENTS[name]
    ends = one["interval"]
    cut = any(note["code"] in ("nearly-complete", "truncated") for note in one["notes"])
    return Figure(
        name=of_muscle(coding.name, psoas),
        value=pages.number(one["value"], "1" if coding.unit == "1" else "-").removesuffix("-").strip(),
        unit=pages.number("", coding.unit),
        at_least=coding.grows and cut,
        interval=(pages.number(ends[0]), pages.number(ends[1])) if ends else None,
        reason=one["reason"] or "",
        notes=one["notes"],
        context=one["context"],
    )


def typed(account: Account) -> Mapping[str, str]:
    """Return what was entered of the patient before, as it is typed."""
    entered = account.entered
    values = {"height_m": entered.height_m, **vars(entered.clinical)}
    return {name: "" if value is None else _written(value) for name, value in values.items()}


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)

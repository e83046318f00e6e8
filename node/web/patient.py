"""A patient's studies over time: each number of interest as a curve that is drawn here, with its table.

Comes in: a Study Instance UID, which stands for the patient, so that no address holds a Patient ID. Goes out: the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from node.core.codes import MEASUREMENTS, of_muscle
from node.core.ledger import audit, cards, jobs, worklist
from node.core.ledger.tables import StudyCard
from node.web import pages
from node.web.account import result_of
from node.web.guard import NotFound
from node.web.plot import Plot, Point, draw
from node.web.sessions import Person
from node.web.site import site_of

SHOWN = (
    "psoas.pmvi",
    "psoas.pmi",
    "l1.mean_hu",
    "liver.volume",
    "liver.mean_hu",
    "burden.count",
    "burden.max_diameter",
    "burden.tbs",
)


@dataclass(frozen=True)
class Curve:
    """A number over time."""

    name: str
    unit: str
    plot: Plot
    points: Sequence[Point]


def show(request: Request, person: Person) -> Response:
    """Answer with the page."""
    site, uid = site_of(request), request.path_params["uid"]
    with site.ledger.reading() as session:
        found = cards.of_same_patient(session, uid)
        rows = worklist.rows_of(session, [one.study_uid for one in found])
        keys = {one.study_uid: job.key for one in found if (job := jobs.current(session, one.study_uid))}
    if not found:
        raise NotFound("Nobody knows yet whose study this is.")
    results = {uid: result for uid, key in keys.items() if (result := result_of(site.spool, key))}
    audit.note(site.ledger, *(audit.looked_at(one.study_uid, "patient over time") for one in found))
    return pages.render(
        request, person, "patient.html", uid=uid, card=found[-1], rows=rows, curves=curves(found, results)
    )


def curves(found: Sequence[StudyCard], results: Mapping[str, Mapping[str, Any]]) -> Sequence[Curve]:
    """Return a curve of each number that was measured at least once."""
    dated: list[tuple[date, str, Mapping[str, Any]]] = [
        (one.study_date, one.study_uid, results[one.study_uid])
        for one in found
        if one.study_date is not None and one.study_uid in results
    ]
    made = []
    for name in SHOWN:
        points = [
            Point(on, measured["value"], tuple(measured["interval"]) if measured["interval"] else None, uid)
            for on, uid, result in dated
            if (measured := result["measurements"].get(name)) and measured["value"] is not None
        ]
        if points:
            coding = MEASUREMENTS[name]
            muscles = {result["quality"]["settings"]["psoas"] for _, _, result in dated}
            title = of_muscle(coding.name, muscles.pop() if len(muscles) == 1 else "iliopsoas")
            made.append(Curve(title, pages.number("", coding.unit), draw(points), points))
    return made

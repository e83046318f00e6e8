"""Beside `node.facts`: what the operator has entered about a patient, the last source of a height.

Comes in: the facts of a study as headers, archives and worklist give them, its content, and the site's form
(`patient_facts` in the settings), which is read afresh when the file has changed. Goes out: the facts with what the
form says: the height, where nobody else says anything of it, and the clinical facts, which have no other source yet.
What can go wrong: nothing is raised; a form that cannot be used is logged (`patient-facts-unusable`, once for each
fault), and what it said for the study's present job stands; a study without one goes on without. No Patient ID is
logged. Next: the steward, for stage 5.
"""

from dataclasses import replace
from pathlib import Path

from node.content import StudyContent
from node.core import log
from node.core.reasons import NotComputed
from node.core.records import HeightSource, PatientFacts
from node.facts import with_height, with_height_of
from node.form import Entry, Form, WrongForm, load

_log = log.get("entered")


class Entered:
    """The form of a site, as it is now.

    Parameters
    ----------
    path
        The file; None where the site has none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._form: Form | None = None
        self._seen: tuple[int, ...] | None = None
        self._unusable = ""

    def complete(self, facts: PatientFacts, content: StudyContent, before: PatientFacts | None = None) -> PatientFacts:
        """Return the facts with what was entered.

        Parameters
        ----------
        before
            Facts of the study's present job: what the form said then stands while it cannot be used.
        """
        if self._path is None:
            return facts
        self._look(self._path)
        if self._form is not None:
            return with_entry(facts, self._form.of(content.whose))
        return _as_before(facts, before) if before is not None else facts

    def _look(self, path: Path) -> None:
        """Read the form where it has changed; while it cannot be used there is none."""
        seen = _stamp(path)
        if seen is not None and seen == self._seen:
            return
        self._seen, self._form = seen, None
        try:
            self._form = load(path)
        except WrongForm as error:
            if str(error) != self._unusable:
                self._unusable = str(error)
                _log.warning("patient-facts-unusable", why=self._unusable)
            return
        self._unusable = ""
        _log.info("patient-facts-read", patients=len(self._form.entries))


def with_entry(facts: PatientFacts, entry: Entry | None) -> PatientFacts:
    """Return facts with what an entry says; a height only where nothing says one, not even one that is no height."""
    if entry is None:
        return facts
    if entry.height_m is not None and facts.height_reason is NotComputed.HEIGHT_MISSING:
        facts = with_height(facts, HeightSource.OPERATOR, [entry.height_m], height_in_cm=False)
    return replace(facts, clinical=entry.clinical)


def _as_before(facts: PatientFacts, before: PatientFacts) -> PatientFacts:
    if facts.height_reason is NotComputed.HEIGHT_MISSING and before.height_source is HeightSource.OPERATOR:
        facts = with_height_of(facts, before)
    return replace(facts, clinical=before.clinical)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes with a file; None where it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

"""Beside `node.facts`: what the operator has entered about a patient, the last source of a height.

Comes in: the facts of a study as headers, archives and worklist give them, its content, and the site's form
(`patient_facts` in the settings), which is read afresh when the file has changed. Goes out: the facts with what the
form says: the height, where nobody else says anything of it, and the clinical facts, which have no other source yet.
What was entered on the page about the same patient (`node.operations.enter_facts`) stands above the form, fact by fact.
What can go wrong: nothing is raised; a form that cannot be used is logged (`patient-facts-unusable`, once for each
fault), and what it said for the study's present job stands; a study without one goes on without. No Patient ID is
logged. Next: the steward, for stage 5.
"""

from dataclasses import fields, replace
from pathlib import Path

from node.content import StudyContent
from node.core import log
from node.core.ledger import Ledger, entries
from node.core.reasons import NotComputed
from node.core.records import ClinicalFacts, EnteredFacts, HeightSource, PatientFacts, parse
from node.facts import with_height, with_height_of
from node.form import Entry, Form, WrongForm, load

_log = log.get("entered")


class Entered:
    """The form of a site, as it is now.

    Parameters
    ----------
    path
        The file; None where the site has none.
    ledger
        Where what was entered on the page is; None: nowhere.
    """

    def __init__(self, path: Path | None, ledger: Ledger | None = None) -> None:
        self._path = path
        self._ledger = ledger
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
        return with_page(self._by_form(facts, content, before), self._on_page(content))

    def _on_page(self, content: StudyContent) -> EnteredFacts:
        if self._ledger is None:
            return EnteredFacts()
        with self._ledger.reading() as session:
            found = entries.of_patient(session, content.whose.patient_id, content.whose.issuer)
        return parse(EnteredFacts, found.facts) if found else EnteredFacts()

    def _by_form(self, facts: PatientFacts, content: StudyContent, before: PatientFacts | None) -> PatientFacts:
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


def with_page(facts: PatientFacts, entered: EnteredFacts) -> PatientFacts:
    """Return facts with what was entered on the page, in place of what the form says of the same."""
    by_form = facts.height_source is HeightSource.OPERATOR
    if entered.height_m is not None and (by_form or facts.height_reason is NotComputed.HEIGHT_MISSING):
        facts = with_height(facts, HeightSource.OPERATOR, [entered.height_m], height_in_cm=False)
    values = {one.name: getattr(entered.clinical, one.name) for one in fields(ClinicalFacts)}
    known = {name: value for name, value in values.items() if value is not None}
    return replace(facts, clinical=replace(facts.clinical or ClinicalFacts(), **known)) if known else facts


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

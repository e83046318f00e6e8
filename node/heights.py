"""Beside `node.facts`: the patient's height from others, where the study itself says nothing of it.

Comes in: the facts of a study, its content. Goes out: the facts with what others said: the archives that the site has
named for it, in their order, by the patient's studies there; then the modality worklist, by the patient's entries. The
first that says anything decides. What can go wrong: nothing is raised; a source that is away says nothing, which is
logged, and the study is not held up: its indices are then not computed (`height-missing`), and `crlm-node replay` asks
again. Next: the steward, for stage 5: what was answered is part of the request, and so of the job's key.

Whose height it is: the query names the Patient ID, and of the answers only those count that give the same Patient ID
and contradict neither birth date nor issuer, where both sides give them. A name is never compared: it identifies
nobody. Answers that differ among each other are no height at all (`height-implausible`).
"""

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from node.content import StudyContent, patient_size
from node.core import log
from node.core.errors import Unavailable
from node.core.reasons import NotComputed
from node.core.records import HeightSource, PatientFacts
from node.core.settings import Settings
from node.facts import with_height, with_height_of
from node.identity import Identity, identity
from node.inquiry import Respondent

_log = log.get("heights")

_RETURNED = ("IssuerOfPatientID", "PatientBirthDate", "PatientSize")
_MATCHES_MANY = frozenset("*?\\")  # wild cards and lists (PS3.4 section C.2.2.2): others' patients would answer


class Heights:
    """The sources of a site.

    Parameters
    ----------
    archives
        Those that are asked for heights, in their order.
    worklist
        The modality worklist, if there is one.
    settings
        How the site writes Patient's Size.
    """

    def __init__(self, archives: Sequence[Respondent], worklist: Respondent | None, settings: Settings) -> None:
        self._archives = archives
        self._worklist = worklist
        self._in_cm = settings.measurement.height_in_cm

    def complete(self, facts: PatientFacts, content: StudyContent, before: PatientFacts | None = None) -> PatientFacts:
        """Return the facts with the height that others know.

        Parameters
        ----------
        facts
            As the study gives them; where it gives a height, or one that cannot be used, nobody is asked.
        before
            Facts of the study's present job: what a source said then stands while it is away.
        """
        if facts.height_reason is not NotComputed.HEIGHT_MISSING or not (self._archives or self._worklist):
            return facts
        patient_id, whose = _askable_id(content), content.whose
        if not patient_id:
            _log.info("height-not-asked", why="no Patient ID that names one patient")
            return facts
        away = False
        for source, respondent in self._sources():
            try:
                sizes = _sizes(_answers(source, respondent, patient_id), whose, respondent.name)
            except Unavailable as error:
                _log.warning("height-source-away", source=respondent.name, code=error.code)
                away = True
                continue
            if sizes:
                return with_height(facts, source, sizes, height_in_cm=self._in_cm)
        if away and before is not None and before.height_source in (HeightSource.ARCHIVE, HeightSource.WORKLIST):
            return with_height_of(facts, before)
        return facts

    def _sources(self) -> Iterator[tuple[HeightSource, Respondent]]:
        yield from ((HeightSource.ARCHIVE, one) for one in self._archives)
        if self._worklist is not None:
            yield HeightSource.WORKLIST, self._worklist


def _askable_id(content: StudyContent) -> str:
    """Return the Patient ID as it is written, to ask by; empty where nobody can be asked by it."""
    written = sorted({header.patient_id for series in content.series for header in series.headers} - {""})
    askable = written and written[0].isascii() and written[0].isprintable() and not _MATCHES_MANY & set(written[0])
    return written[0] if askable else ""


def _answers(source: HeightSource, respondent: Respondent, patient_id: str) -> list[Dataset]:
    keys = {"PatientID": patient_id, **dict.fromkeys(_RETURNED, "")}
    if source is HeightSource.WORKLIST:
        return respondent.find_scheduled(keys)
    return respondent.find("STUDY", {**keys, "StudyInstanceUID": ""})


def _sizes(answers: Sequence[Dataset], whose: Identity, name: str) -> list[float]:
    """Return the different sizes in the answers that are of the patient; a source never answers for another."""
    own = [one for one in answers if _is(identity(one), whose)]
    if len(own) < len(answers):
        _log.warning("height-of-another-patient", source=name, answers=len(answers) - len(own))
    return sorted({size for one in own if (size := patient_size(one)) is not None})


def _is(answered: Identity, whose: Identity) -> bool:
    same_id = answered.patient_id == whose.patient_id
    optional = ((answered.issuer, whose.issuer), (answered.birth_date, whose.birth_date))
    return same_id and all(one == other for one, other in optional if one and other)

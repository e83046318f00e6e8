"""One call of `crlm-node backfill`, from the search to the summary.

Comes in: settings, an archive, criteria. Goes out: a plan on disk, studies at our listener, entries of the audit trail
(who asked whom, when, how many; no patient data), and what a person sees. What can go wrong is what its parts say. Who
is next: `node.cli.backfill`, which reads the words and ends with the exit code.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Event

from pydicom import Dataset
from rich.console import Console

from node.backfill import display
from node.backfill.campaign import Campaign, counts_of
from node.backfill.criteria import Criteria
from node.backfill.fetching import Fetching, Series, ct_series, held_of
from node.backfill.pace import Pace
from node.backfill.pieces import Piece
from node.backfill.plan import Plan, name_of
from node.backfill.search import Findings, Found, search
from node.core.dimse import TooMuch
from node.core.errors import Unavailable
from node.core.ledger import Ledger, audit
from node.core.ledger.patience import Patience
from node.core.peer import Peer
from node.core.settings import Settings


@dataclass(frozen=True)
class Run:
    """One call of the command.

    Parameters
    ----------
    settings, ledger
        Of the site.
    peer
        The archive.
    criteria
        What is asked for.
    console
        Where it is shown.
    """

    settings: Settings
    ledger: Ledger
    peer: Peer
    criteria: Criteria
    console: Console

    @property
    def folder(self) -> Path:
        """Where the plans of this home lie."""
        return self.settings.home / "backfill"

    @property
    def name(self) -> str:
        """Of the backfill: the same words give the same."""
        return name_of(self.peer.ae_title, self.criteria.canonical())

    def search(self) -> Findings:
        """Ask the archive for studies; that it was asked is audited, whatever came of it.

        Raises
        ------
        Unavailable
            It is away or refuses.
        """
        told = Findings()

        def heard(piece: Piece, findings: Findings) -> None:
            nonlocal told
            told = findings
            bar.asked(piece, findings)

        def ask(keys: Mapping[str, str]) -> list[Dataset]:
            return self._ask(keys, again=bool(told.queries))

        try:
            with display.bar(self.console, None) as bar:
                findings = search(ask, self.criteria, heard)
        except Unavailable:
            self._audit_query(told, done=False)
            raise
        self._audit_query(findings)
        display.remarks(self.console, findings)
        return findings

    def preview(self) -> None:
        """Print what would be fetched."""
        findings = self.search()
        rows: list[tuple[Found, list[Series], dict[str, int]]] = []
        with display.bar(self.console, len(findings.studies)) as bar:
            for found in findings.in_order():
                bar.begins(found)
                with self.peer.inquiring() as inquiry:
                    series = ct_series(inquiry, found.study_uid)
                held = held_of(self.ledger, found.study_uid)
                rows.append((found, series, {uid: len(images) for uid, images in held.items()}))
        display.preview(self.console, rows)

    def plan(self, *, anew: bool) -> Plan:
        """Return the plan that an earlier run left, where something of it is open; else a new one."""
        path = self.folder / f"{self.name}.jsonl"
        if path.is_file() and not anew:
            plan = Plan(path)
            if plan.open:
                words = f"{len(plan.open)} of {len(plan.studies)} studies"
                self.console.print(f"Goes on with what was found at {plan.found_at}: {words}.", highlight=False)
                return plan
        return Plan.write(path, self.search().in_order(), datetime.now())  # noqa: DTZ005

    def fetch(self, plan: Plan, pace: Pace, stop: Event) -> None:
        """Fetch what is open, at this pace, until told to stop; begin and end are audited.

        Raises
        ------
        Unavailable
            The archive stays away, or the ledger or the spool is away.
        NotKnownThere, TooManyFail
            No study can be fetched.
        """
        self._audit(f"{len(plan.open)} of {len(plan.studies)} studies to fetch")
        fetching = Fetching(self.peer, self.ledger, self.settings.port, stop)
        try:
            with display.bar(self.console, len(plan.studies), len(plan.studies) - len(plan.open)) as bar:
                Campaign(plan, fetching, pace, Patience.of(self.settings), bar, stop).run()
        finally:
            counts = counts_of(plan)
            self._audit(", ".join(f"{count} {name}" for name, count in counts.items()), done=not plan.open)
            display.summary(self.console, plan)

    def _audit(self, detail: str, *, done: bool = True) -> None:
        said = f"{self.name} from {self.peer.ae_title}: {detail}"
        audit.note(self.ledger, audit.commanded("backfill", detail=said, done=done))

    def _audit_query(self, findings: Findings, *, done: bool = True) -> None:
        detail = f"backfill {self.name}: {findings.queries} queries, {len(findings.studies)} studies"
        audit.note(self.ledger, audit.queried(self.peer.ae_title, self.peer.host, detail, done=done))

    def _ask(self, keys: Mapping[str, str], *, again: bool) -> list[Dataset]:
        """Query at STUDY level; where the archive has answered before, have patience with it."""
        patience = Patience.of(self.settings)
        for attempt in range(1, patience.attempts if again else 1):
            try:
                return self.peer.find("STUDY", keys)
            except TooMuch:
                raise
            except Unavailable:
                time.sleep(patience.pause(attempt).total_seconds())
        return self.peer.find("STUDY", keys)

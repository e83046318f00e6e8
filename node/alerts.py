"""Telling the site what waits for a person: a study that is set aside, a job or a delivery that has failed for good.

Comes in: the events of the ledger, each read once. Goes out: a JSON document to a webhook, a mail to those who are
named, both with the study's UID and coded reasons, and no patient data. What can go wrong: nobody takes it
(`Unavailable`, alert-failed): it is tried again later, and nothing is skipped. Called by the steward, of which there
is one.
"""

import json
import smtplib
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from time import monotonic
from typing import Any

from sqlalchemy.orm import Session

from node.core.errors import Unavailable
from node.core.ledger import Ledger, bookmarks, deliveries
from node.core.ledger.tables import Delivery, Event, Job, Study
from node.core.reasons import Outage
from node.core.settings import Settings, SettingsError, address_of, bearer, secret
from node.core.states import DeliveryState, JobState, StudyState

_AT_ONCE = 200
_TIMEOUT_S, _REST_S = 5.0, 60.0
_WHAT = {
    ("study", StudyState.QUARANTINED.value): "study-quarantined",
    ("job", JobState.FAILED.value): "job-failed",
    ("delivery", DeliveryState.FAILED.value): "delivery-failed",
}
_SENTENCES = {
    "study-quarantined": "A study was set aside and waits for a person.",
    "job-failed": "The analysis of a study has failed for good.",
    "delivery-failed": "A result could not be delivered.",
}


@dataclass(frozen=True)
class Alert:
    """What a person should look at; `link` leads to the page of the study."""

    what: str
    at: str
    study: str
    reason: str
    destination: str
    link: str


class Alerts:
    """Sends what the events say to each way that the site has named."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger = ledger
        self._settings = settings
        ways: dict[str, tuple[str, Callable[[Sequence[Alert]], None]]] = {
            "alerts-webhook": (settings.alerts.webhook, self._post),
            "alerts-mail": (settings.alerts.mail_host if settings.alerts.mail_to else "", self._mail),
        }
        self._ways = {reader: send for reader, (there, send) in ways.items() if there}
        self._rest_until: dict[str, float] = {}

    def round(self) -> None:
        """Send what is new.

        Raises
        ------
        Unavailable
            `alert-failed`, or the ledger is away.
        """
        failed: Unavailable | None = None
        for reader, send in self._ways.items():
            if self._rest_until.get(reader, 0.0) > monotonic():
                continue
            with self._ledger.transaction() as session:
                place = bookmarks.place_of(session, reader)
                events = bookmarks.events_after(session, place, _AT_ONCE)
                found = [alert for one in events if (alert := self._alert(session, one))]
            try:
                if found:
                    send(found)
            except (OSError, SettingsError, UnicodeError, smtplib.SMTPException) as error:  # a mail's password is ASCII
                self._rest_until[reader] = monotonic() + _REST_S
                what = str(error) if isinstance(error, SettingsError) else type(error).__name__
                failed = Unavailable(Outage.ALERT_FAILED, f"{reader}: {what}")
                continue
            if events:
                with self._ledger.transaction() as session:
                    bookmarks.move_on(session, reader, events[-1].id)
        if failed is not None:
            raise failed

    def _alert(self, session: Session, event: Event) -> Alert | None:
        """Return what an event is an alert of; None where nobody has to act, or not any more."""
        what = _WHAT.get((event.subject, event.new))
        if what is None:
            return None
        study, reason, destination = event.key, "", ""
        if event.subject == "study":
            found = session.get(Study, event.key)
            reason = (found.reason if found else None) or ""
        elif event.subject == "job":
            job = session.get(Job, event.key)
            study, reason = (job.study_uid, job.reason or "") if job else ("", "")
        else:
            uid, _, destination = event.key.partition("@")
            delivery = session.get(Delivery, (uid, destination))
            if delivery is None or not deliveries.given_up(delivery):
                return None
            job = session.get(Job, delivery.job_key)
            study, reason = job.study_uid if job else "", delivery.reason or ""
        at = f"{event.at:%Y-%m-%dT%H:%M:%SZ}"
        return Alert(what, at, study, reason, destination, f"{address_of(self._settings)}/studies/{study}")

    def _post(self, alerts: Sequence[Alert]) -> None:
        to = self._settings.alerts
        headers = {"Content-Type": "application/json"}
        if to.webhook_token_file is not None:
            headers["Authorization"] = bearer("alerts.webhook_token_file", to.webhook_token_file)
        content = json.dumps({"node": self._settings.ae_title, "alerts": [asdict(one) for one in alerts]}).encode()
        request = urllib.request.Request(to.webhook, content, headers, method="POST")  # noqa: S310 - http, by settings
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310
            pass

    def _mail(self, alerts: Sequence[Alert]) -> None:
        to = self._settings.alerts
        message = EmailMessage()
        message["From"], message["To"] = to.mail_from, ", ".join(to.mail_to)
        count = f"{len(alerts)} things wait" if len(alerts) > 1 else "something waits"
        message["Subject"] = f"{self._settings.ae_title}: {count} for a person"
        message.set_content("\n\n".join(map(_words, alerts)))
        with smtplib.SMTP(to.mail_host, to.mail_port, timeout=_TIMEOUT_S) as server:
            if to.mail_starttls:
                server.starttls()
            if to.mail_user:
                password = secret("alerts.mail_password_file", file) if (file := to.mail_password_file) else ""
                server.login(to.mail_user, password)
            server.send_message(message)


def _words(alert: Alert) -> str:
    facts: dict[str, Any] = {"study": alert.study, "reason": alert.reason, "destination": alert.destination}
    lines = [f"{name}: {value}" for name, value in facts.items() if value]
    return "\n".join([_SENTENCES[alert.what], f"at: {alert.at}", *lines, alert.link])

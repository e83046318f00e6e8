"""The ledger: whether it can be reached, has this version's schema, and which queues stand still. None is made here."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from sqlalchemy.engine import make_url

from node.core.ailments import Ailment
from node.core.errors import Unavailable
from node.core.findings import Finding, fault, fine, warning
from node.core.ledger import SCHEMA, Ledger, NewerSchema, SchemaMismatch, commitments, now, queues
from node.core.ledger.host import SecondHost
from node.core.settings import PacsDestination, Settings, SettingsError
from node.doctor.visit import Visit


def look(visit: Visit) -> Iterator[Finding]:
    """Open the ledger as the processes do, and look."""
    url = make_url(visit.settings.ledger)
    where = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        yield warning("ledger.schema", Ailment.LEDGER_MISSING, f"There is no ledger at {url.database} yet.")
        return
    try:
        ledger = Ledger.of(visit.settings)
    except SettingsError as error:
        yield fault("ledger.open", Ailment.LEDGER_DOWN, f"{error}.")
        return
    try:
        ledger.require_schema()
        yield fine("ledger.schema", f"The ledger answers and has the schema {SCHEMA}: {where}.")
        yield from _paused(ledger)
        yield from _unheard(ledger, visit.settings)
    except SchemaMismatch as error:
        found = ledger.schema()
        words = f"The ledger has {f'the schema {found}' if found else 'no schema'}, this version needs {SCHEMA}."
        newer = isinstance(error, NewerSchema)
        yield fault("ledger.schema", Ailment.SCHEMA_NEWER if newer else Ailment.SCHEMA_OLDER, words)
    except SecondHost as error:
        yield fault("ledger.host", Ailment.SECOND_HOST, str(error))
    except Unavailable as error:
        yield fault("ledger.open", Ailment.LEDGER_DOWN, f"The ledger {where} cannot be used: {error.detail}.")
    finally:
        ledger.close()


def _paused(ledger: Ledger) -> Iterator[Finding]:
    with ledger.transaction() as session:
        stopped = queues.paused(session)
    for queue in stopped:
        yield warning("ledger.queue", Ailment.QUEUE_PAUSED, f"The queue {queue} is paused.", queue, queue=queue)


def _unheard(ledger: Ledger, config: Settings) -> Iterator[Finding]:
    """Tell of a PACS that takes requests for storage commitment, and whose reports never came."""
    for one in config.destinations:
        if not isinstance(one, PacsDestination) or not one.commitment:
            continue
        with ledger.transaction() as session:
            heard = commitments.heard(session, one.name, now() - timedelta(seconds=one.commitment_wait_s))
        if heard and not any(heard):
            words = f"{one.ae_title} took the last {len(heard)} requests for storage commitment and never reported."
            facts = {"port": config.port, "caller": one.ae_title}
            yield warning("ledger.commitment", Ailment.COMMITMENT_SILENT, words, one.name, **facts)

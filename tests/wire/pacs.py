"""A stand-in for a PACS, which answers what a test wants answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


@dataclass
class Pacs:
    """What it received, and how it answers.

    `statuses` are answered in turn, the last one from then on; `listed` are the answers to a query.
    """

    port: int
    statuses: list[int] = field(default_factory=lambda: [0])
    listed: list[Dataset] = field(default_factory=list)
    find_status: int = 0
    comment: str = ""
    abort_after: int | None = None
    received: list[tuple[str, bytes]] = field(default_factory=list)
    queries: list[Dataset] = field(default_factory=list)
    associations: int = 0

    def on_store(self, event: evt.Event) -> Dataset:
        """Keep the bytes and answer."""
        if self.abort_after is not None and len(self.received) >= self.abort_after:
            event.assoc.abort()
        self.received.append((event.context.transfer_syntax, event.encoded_dataset(include_meta=False)))
        status = Dataset()
        status.Status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if self.comment:
            status.ErrorComment = self.comment
        return status

    def on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer with what matches, by study and series."""
        query = event.identifier
        self.queries.append(query)
        if self.find_status:
            yield self.find_status, None
            return
        level = {"SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}.get(
            query.QueryRetrieveLevel, "StudyInstanceUID"
        )
        wanted = {key: query[key].value for key in _KEYS.values() if key in query and query[key].value}
        seen = set()
        for one in self.listed:
            if all(one[key].value == value for key, value in wanted.items()) and one[level].value not in seen:
                seen.add(one[level].value)
                yield 0xFF00, one


@contextmanager
def serving(pacs: Pacs, contexts: list[PresentationContext], ae_title: str = "PACS") -> Iterator[Pacs]:
    """Run it with these storage contexts beside verification and query."""
    ae = AE(ae_title)
    ae.require_called_aet = True
    ae.supported_contexts = contexts
    ae.add_supported_context(Verification)
    ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    def count(_: evt.Event) -> None:
        pacs.associations += 1

    handlers = [(evt.EVT_C_STORE, pacs.on_store), (evt.EVT_C_FIND, pacs.on_find), (evt.EVT_ESTABLISHED, count)]
    server = ae.start_server(("127.0.0.1", pacs.port), block=False, evt_handlers=handlers)
    try:
        yield pacs
    finally:
        ae.shutdown()
        del server

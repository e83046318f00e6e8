"""Stage 1: who may speak to us.

In: TCP connections. Out: one `Offer` for each C-STORE request, to the receiver that `listen` gives us (stage 2), which
also hears how each association ended. An association is let in when its called AE title is ours and its calling AE
title and host are in the settings; the presentation contexts are those of `node.contexts`.

What can go wrong: a caller that is not known (rejected, with the reason of PS3.8 section 9.3.4), a client that fails
the TLS handshake where the settings ask for TLS; both are told to the audit trail. A connection that does not speak
DICOM (closed without a word: health checks, scanners), a peer that falls silent (aborted after the idle
time), a C-STORE that fails (its status is answered and the association goes on). The C-STORE handler is one of the
three doors: nothing that happens behind it ends the listener.
"""

import contextlib
import errno
import socket
import ssl
import threading
import uuid
from collections.abc import Callable
from socketserver import BaseServer
from typing import Any, Protocol, cast

from pydicom import Dataset
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_ASSOCIATE
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from node import contexts
from node.answers import Answers, fault
from node.connection import BoundedSocket, greets, plain
from node.core import log, tls
from node.core.dicom import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.core.ledger.audit import Rejection
from node.core.offer import Offer, Taken
from node.core.reasons import Coded
from node.core.settings import CallingPeer, Settings
from node.invalid_pdu import withstand
from node.transfer import MAXIMUM_PDU_BYTES, StoreTransfer

GREETING_TIMEOUT_S = 10.0
CLOSING_GRACE_S = 2.0
STRANGERS = 64  # connections that may be open beside the associations
_ABORT_GRACE_S = 0.5

_NO_SUCH_CLASS = 0x0118
_REJECTED_PERMANENT, _BY_USER, _CALLING_AE_UNKNOWN, _CALLED_AE_UNKNOWN = 1, 1, 3, 7  # PS3.8 table 9-21
_NOT_YET_ASSOCIATED = ("Sta2", "Sta13")  # PS3.8 table 9-10

_log = log.get("association")

# pynetdicom's own event log prints what peers send.
_config.LOG_HANDLER_LEVEL = "none"


class CannotListen(RuntimeError):
    """The listener cannot have its address; the message says which and why."""


class Receiver(Protocol):
    """Who takes in what comes through the door: stage 2."""

    def take(self, offer: Offer) -> Taken:
        """Take an instance in, durably; a `NodeError` says why not."""

    def closed(self, association_id: str, outcome: str) -> None:
        """Hear how an association ended: `released`, `aborted` or `lost`."""


class Watch(Protocol):
    """Who hears of those that were not let in: the audit trail."""

    def note(self, reason: Coded, *, host: str, calling_ae_title: str = "", detail: str = "") -> None:
        """Hear of one; `reason` is a `Rejection` or a `TlsFault`."""


class Reports(Protocol):
    """Who takes in what a destination reports of its storage commitment."""

    def take(self, event_type: int | None, information: Dataset, calling_ae_title: str) -> int:
        """Take a report in and return the status to answer."""


class Door:
    """The listener's port.

    Parameters
    ----------
    settings
        The site's settings: address, AE title, who may call, limits.
    receiver
        Who takes the instances in.
    watch
        Who hears of those that were not let in.
    reports
        Who takes in reports of storage commitment; the service is offered only where somebody does.
    """

    def __init__(self, settings: Settings, receiver: Receiver, watch: Watch, reports: Reports | None = None) -> None:
        self._settings = settings
        self._receiver = receiver
        self._watch = watch
        self._reports = reports
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it listens on."""
        if self._server is None:
            raise RuntimeError("the door is not open")
        host, port, *_ = self._server.server_address
        return host, port

    def open(self) -> None:
        """Listen, in threads of its own.

        Raises
        ------
        CannotListen
            The address is taken or not ours.
        WrongTlsFile
            A file of the TLS settings cannot be used.
        """
        address = (self._settings.host, self._settings.port)
        secured = tls.listener_context(self._settings.tls) if self._settings.tls else None
        try:
            server = self._entity().make_server(
                address,
                server_class=_Server,
                request_handler=_Conversation,
                callers=self._settings.calling,
                idle_s=self._settings.association_idle_s,
                receiver=self._receiver,
                watch=self._watch,
                reports=self._reports,
                secured=secured,
            )
        except OSError as error:
            reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise CannotListen(f"cannot listen on {address[0]}:{address[1]}: {reason}") from error
        self._server = cast(_Server, server)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="listener", daemon=True)
        self._thread.start()
        host, port = self.address
        _log.info("listening", host=host, port=port, ae_title=self._settings.ae_title, tls=secured is not None)

    def close(self, grace_s: float = CLOSING_GRACE_S) -> None:
        """Stop listening; associations may end by themselves for `grace_s`, then they are aborted."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.dismiss(grace_s)
        self._server = None
        _log.info("stopped listening")

    def _entity(self) -> AE:
        ae = AE(self._settings.ae_title)
        ae.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        ae.require_called_aet = True
        ae.maximum_associations = self._settings.max_associations
        ae.maximum_pdu_size = MAXIMUM_PDU_BYTES
        ae.acse_timeout = GREETING_TIMEOUT_S
        ae.dimse_timeout = self._settings.association_idle_s
        ae.network_timeout = self._settings.association_idle_s
        ae.supported_contexts = contexts.supported(reports=self._reports is not None)
        return ae


class _Server(ThreadedAssociationServer):
    """Accepts connections; each is a `_Conversation` in a thread of its own."""

    daemon_threads = True  # a client that never says a word does not hold up the end
    request_queue_size = 128

    def __init__(
        self,
        *args: Any,
        callers: tuple[CallingPeer, ...],
        idle_s: float,
        receiver: Receiver,
        watch: Watch,
        reports: Reports | None,
        secured: ssl.SSLContext | None,
        **options: Any,
    ) -> None:
        self.callers = callers
        self.idle_s = idle_s
        self.receiver = receiver
        self.watch = watch
        self.reports = reports
        self.secured = secured
        self.open_conversations: set[_Conversation] = set()
        self.connections = 0
        self.changed = threading.Condition()
        super().__init__(*args, **options)

    def server_bind(self) -> None:
        """Bind so that several listeners of one site may share the port."""
        cast(socket.socket, self.socket).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def shutdown(self) -> None:
        """Stop accepting connections and free the port."""
        BaseServer.shutdown(self)
        self.server_close()

    def dismiss(self, grace_s: float) -> None:
        """Wait for the open associations to end, then abort those that are left."""
        with self.changed:
            self.changed.wait_for(lambda: not self.open_conversations, timeout=grace_s)
            left = list(self.open_conversations)
        for conversation in left:
            conversation.abort()
        with self.changed:
            self.changed.wait_for(lambda: not self.open_conversations, timeout=GREETING_TIMEOUT_S)

    def objection(self, calling_ae_title: str, called_ae_title: str, host: str) -> Rejection | None:
        """Say why this AE title may not call this one of ours from this host; None where it may."""
        named = [caller for caller in self.callers if caller.ae_title.strip() == calling_ae_title.strip()]
        if not named:
            return Rejection.CALLER_UNKNOWN
        if all(caller.hosts and plain(host) not in {plain(str(one)) for one in caller.hosts} for caller in named):
            return Rejection.HOST_NOT_ALLOWED
        return None if called_ae_title.strip() == self.ae_title.strip() else Rejection.CALLED_UNKNOWN

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Hang up where more connections are open than associations are served, and as many strangers as are borne."""
        del request
        let_in = self.connections < self.ae.maximum_associations + STRANGERS
        if not let_in:
            _log.warning("too-many-connections", host=client_address[0])
        return let_in

    def service_actions(self) -> None:
        """Leave it to Python when to collect garbage: pynetdicom does so every few seconds, in all threads' time."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a connection that failed, without what it sent."""
        del request
        _log.error("connection-failed", host=client_address[0], **fault())


class _Conversation(RequestHandler):
    """One connection from its first byte to its end."""

    server: _Server

    def setup(self) -> None:
        """Give the association its name."""
        with self.server.changed:
            self.server.connections += 1
        self.id = str(uuid.uuid4())
        self.log = _log.bind(association=self.id, host=self.client_address[0])
        self.assoc: Association | None = None
        self.outcome = "lost"
        self.answers: Answers | None = None

    def handle(self) -> None:
        """Serve the association until it has ended."""
        if not self._greeted():
            self.log.debug("no-dicom")
            return
        connection = cast(socket.socket, self.request)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(self.server.idle_s)
        assoc = self._create_association()
        assoc._server = None  # noqa: SLF001 - it would close the connection while the last PDU is still to be sent
        bounded = BoundedSocket(cast(AssociationSocket, assoc.dul.socket), MAXIMUM_PDU_BYTES, self.server.idle_s)
        assoc.dul.socket = bounded
        self.answers = Answers(self.server.receiver.take, assoc, self.id, self.client_address[0], self.log)
        transfer = StoreTransfer(assoc, bounded, self.answers.answer)
        handlers: tuple[tuple[evt.EventType, Callable[[evt.Event], Any]], ...] = (
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_ESTABLISHED, self._on_established),
            (evt.EVT_ACSE_RECV, self._on_acse),
            (evt.EVT_CONN_CLOSE, self._on_connection_closed),
            (evt.EVT_N_EVENT_REPORT, self._on_report),
        )
        for event, handler in handlers:
            assoc.bind(event, handler)
        withstand(assoc, lambda error: self.log.info("pdu-without-sense", error=type(error).__name__))
        self.assoc = assoc
        with self.server.changed:
            self.server.open_conversations.add(self)
        try:
            assoc.start()
            assoc.join()
            assoc.dul.join(CLOSING_GRACE_S)  # it may still have an A-ABORT to send
            self._report_end(assoc)
        finally:
            transfer.close()
            with self.server.changed:
                self.server.open_conversations.discard(self)
                self.server.changed.notify_all()

    def _greeted(self) -> bool:
        """Say whether the peer means to speak DICOM, over TLS where the settings ask for it."""
        connection = cast(socket.socket, self.request)
        connection.settimeout(GREETING_TIMEOUT_S)
        if self.server.secured is None:
            return greets(connection)
        if not tls.speaks(connection):
            return False
        try:
            self.request = tls.accept(self.server.secured, connection)
        except tls.HandshakeFailed as error:
            self.log.warning("handshake-failed", reason=error.fault, detail=error.detail)
            self.server.watch.note(error.fault, host=self.client_address[0], detail=error.detail)
            return False
        return True

    def finish(self) -> None:
        """Close the connection, whatever happened."""
        with self.server.changed:
            self.server.connections -= 1
        self.server.shutdown_request(self.request)

    def abort(self) -> None:
        """Abort the association, if it has not ended."""
        if self.assoc is not None and self.assoc.is_alive():
            self.outcome = "aborted"
            # A thread that waits for the rest of a PDU hears of nothing else.
            waking = threading.Timer(_ABORT_GRACE_S, self._hang_up)
            waking.start()
            self.assoc.abort()
            waking.cancel()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            # Not the method of a TLS socket, which would drop the encryption for what is still to be said.
            socket.socket.shutdown(cast(socket.socket, self.request), socket.SHUT_RD)

    def _on_requested(self, event: evt.Event) -> None:
        """Reject a caller that the settings do not name, and one that wants somebody else (PS3.8 section 9.3.4)."""
        request = cast(A_ASSOCIATE, event.assoc.requestor.primitive)
        calling, host = str(request.calling_ae_title), self.client_address[0]
        self.log = self.log.bind(calling_ae_title=calling)
        if self.answers is not None:
            self.answers.log = self.log
        objection = self.server.objection(calling, str(request.called_ae_title), host)
        if objection is None:
            return
        self.log.warning("association-rejected", reason=objection)
        called = objection is Rejection.CALLED_UNKNOWN
        event.assoc.acse.send_reject(
            _REJECTED_PERMANENT, _BY_USER, _CALLED_AE_UNKNOWN if called else _CALLING_AE_UNKNOWN
        )
        event.assoc.kill()
        self.server.watch.note(objection, host=host, calling_ae_title=calling)

    def _on_established(self, event: evt.Event) -> None:
        self.log.info("association-accepted", contexts=len(event.assoc.accepted_contexts))

    def _on_acse(self, event: evt.Event) -> None:
        if isinstance(getattr(event, "primitive", None), A_ABORT):
            self.outcome = "aborted"

    def _on_connection_closed(self, event: evt.Event) -> None:
        """Wake what waits for an association request where the peer has hung up before it made one."""
        dul = event.assoc.dul
        if dul.state_machine.current_state in _NOT_YET_ASSOCIATED:
            dul.to_user_queue.put(None)  # what an expired wait returns

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        """Answer a report of storage commitment (PS3.4 section J.3.3)."""
        if self.server.reports is None:
            return _NO_SUCH_CLASS, None
        calling = str(cast(A_ASSOCIATE, event.assoc.requestor.primitive).calling_ae_title)
        return self.server.reports.take(event.event_type, event.event_information, calling), None

    def _report_end(self, assoc: Association) -> None:
        if assoc.is_rejected or assoc.requestor.primitive is None:
            self.log.debug("association-not-made")
            return
        if assoc.is_released:
            self.outcome = "released"
        seen = {kind: count for kind, count in self.answers.counts.items() if count} if self.answers else {}
        self.log.info("association-ended", outcome=self.outcome, **seen)
        self.server.receiver.closed(self.id, self.outcome)

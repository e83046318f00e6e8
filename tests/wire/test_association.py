"""Who is let in, for what, and how an association ends."""

import socket
import threading
import time
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom.association import Association as PeerAssociation
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind, Verification

from node import association
from node.association import CannotListen
from node.connection import plain as plain_address
from node.core.dicom import IMPLEMENTATION_CLASS_UID, STORAGE_CLASSES, TRANSFER_SYNTAXES
from node.core.ledger.tables import Association
from node.core.requestor import answer_to_request
from node.core.settings import CallingPeer
from node.listen import Listener

from .conftest import Site
from .sender import CALLER, associate, ct_slice, data_set_of, file_of, offer, offer_slice

OpenSite = Callable[..., Site]


def _rejection(assoc: PeerAssociation) -> tuple[int, int, int] | None:
    """Return result, source and reason of PS3.8 table 9-21, if the association was rejected."""
    answer = answer_to_request(assoc)
    return (answer.result, answer.result_source, answer.diagnostic) if answer and answer.result else None


def _wait_until(holds: Callable[[], bool], limit_s: float = 10) -> bool:
    until = time.monotonic() + limit_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def _outcomes(site: Site) -> list[str | None]:
    with site.ledger.transaction() as session:
        return [row.outcome for row in session.query(Association).order_by(Association.opened_at)]


def test_echo_is_answered(site: Site) -> None:
    """Verification succeeds for a known caller: `Peer.echo` raises otherwise."""
    site.peer.echo()


def test_every_promised_context_is_accepted(site: Site) -> None:
    """Each storage class is accepted in each transfer syntax, uncompressed and compressed, proposed alone."""
    promised = [(sop_class, syntax) for sop_class in STORAGE_CLASSES for syntax in TRANSFER_SYNTAXES]
    assoc = associate(site.port, *promised)
    accepted = [(context.abstract_syntax, context.transfer_syntax[0]) for context in assoc.accepted_contexts]
    assoc.release()
    assert accepted == promised
    assert len(accepted) == 36


def test_listener_says_who_it_is(site: Site) -> None:
    """The implementation class UID is the project's own, not that of the library."""
    assoc = associate(site.port)
    assert assoc.acceptor.implementation_class_uid == IMPLEMENTATION_CLASS_UID
    assoc.release()


def test_unknown_caller_is_rejected(site: Site) -> None:
    """A calling AE title that the settings do not name: permanent, service user, calling AE title not recognised."""
    assert _rejection(associate(site.port, calling="STRANGER")) == (1, 1, 3)


def test_wrong_called_title_is_rejected(site: Site) -> None:
    """A known caller that wants another AE title: permanent, service user, called AE title not recognised."""
    assert _rejection(associate(site.port, called="OTHER")) == (1, 1, 7)


def test_known_title_from_another_host_is_rejected(open_site: OpenSite) -> None:
    """AE title and host belong together: the same title is let in from its own host only."""
    site = open_site(calling=(CallingPeer(ae_title=CALLER, hosts=("127.0.0.2",)),))
    assert _rejection(associate(site.port)) == (1, 1, 3)
    assoc = associate(site.port, host="127.0.0.2")
    assert assoc.is_established
    assoc.release()


def test_nobody_is_let_in_by_default(open_site: OpenSite) -> None:
    """Without an entry in the settings there is no caller that is known."""
    site = open_site(calling=())
    assert _rejection(associate(site.port)) == (1, 1, 3)


def test_caller_without_hosts_may_come_from_anywhere(open_site: OpenSite) -> None:
    """An entry that names no host lets its AE title in from any."""
    site = open_site(calling=(CallingPeer(ae_title=CALLER),))
    assoc = associate(site.port, host="127.0.0.3")
    assert assoc.is_established
    assoc.release()


@pytest.mark.parametrize(
    ("host", "plain"),
    [("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8:0:0::7", "2001:db8::7"), ("pacs", "pacs"), ("10.0.0.1", "10.0.0.1")],
)
def test_one_address_has_one_form(host: str, plain: str) -> None:
    """An address that is written, or arrives, in another form is the same host."""
    assert plain_address(host) == plain


def test_other_sop_classes_get_no_context(site: Site) -> None:
    """MR images and queries are refused by context, with the reason, beside a CT context that is accepted."""
    wanted = (MRImageStorage, StudyRootQueryRetrieveInformationModelFind, CTImageStorage)
    assoc = associate(site.port, *((sop_class, ImplicitVRLittleEndian) for sop_class in wanted))
    assert [context.abstract_syntax for context in assoc.accepted_contexts] == [CTImageStorage]
    assert [context.result for context in assoc.rejected_contexts] == [3, 3], "abstract syntax not supported"
    assoc.release()


def test_message_over_a_context_that_is_not_there_ends_the_association(site: Site) -> None:
    """A peer that uses a presentation context identifier that was never accepted is aborted; others are served."""
    assoc = associate(site.port)
    answer = offer(assoc, data_set_of(file_of(ct_slice())), generate_uid(), context_id=77)
    assert "Status" not in answer
    assert _wait_until(lambda: assoc.is_aborted)
    site.peer.echo()


def test_query_over_a_storage_context_ends_the_association(site: Site) -> None:
    """A C-FIND over the context of CT images is answered by an abort, not by data; others are served."""
    assoc = associate(site.port)
    (context,) = assoc.accepted_contexts
    context.abstract_syntax = StudyRootQueryRetrieveInformationModelFind
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientName = "STUDY", "*"
    answers = list(assoc.send_c_find(query, StudyRootQueryRetrieveInformationModelFind))
    assert [dict(status) for status, _ in answers] == [{}]
    assert _wait_until(lambda: assoc.is_aborted)
    site.peer.echo()


def test_one_association_more_than_allowed_is_rejected(open_site: OpenSite) -> None:
    """At the limit: transient, presentation related, local limit exceeded; when one has ended, the next is let in."""
    site = open_site(max_associations=2)
    two = [associate(site.port), associate(site.port)]
    assert _rejection(associate(site.port)) == (2, 3, 2)
    two[0].release()
    assert _wait_until(lambda: len(site.listener.door._server.open_conversations) < 2)
    third = associate(site.port)
    assert third.is_established
    for assoc in (two[1], third):
        assoc.release()


def test_connections_that_say_nothing_take_no_association(open_site: OpenSite) -> None:
    """Open connections without a word do not count: those who associate are let in beside them."""
    site = open_site(max_associations=1)
    silent = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(5)]
    site.peer.echo()
    for connection in silent:
        connection.close()


def test_strangers_take_no_more_than_their_number(open_site: OpenSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a connection is closed at once: no thread waits for it; when some have gone, others come in."""
    monkeypatch.setattr(association, "STRANGERS", 3)
    site = open_site(max_associations=1)
    silent = [socket.create_connection(("127.0.0.1", site.port), timeout=20) for _ in range(4)]
    assert _wait_until(lambda: site.listener.door._server.connections == 4)
    with socket.create_connection(("127.0.0.1", site.port), timeout=20) as late:
        assert late.recv(1) == b""
    for connection in silent:
        connection.close()
    assert _wait_until(lambda: site.listener.door._server.connections == 0)
    site.peer.echo()


def test_silent_association_is_closed(open_site: OpenSite) -> None:
    """After the idle time the association is aborted, and the ledger says that it was lost."""
    site = open_site(association_idle_s=0.5)
    assoc = associate(site.port)
    assert offer_slice(assoc, ct_slice()) == 0
    assert _wait_until(lambda: assoc.is_aborted, limit_s=5)
    assert _wait_until(lambda: _outcomes(site) == ["lost"])


def test_ledger_knows_how_each_association_ended(site: Site) -> None:
    """Released, aborted by the peer, and lost with its connection are three outcomes."""
    released, aborted, lost = (associate(site.port) for _ in range(3))
    for assoc in (released, aborted, lost):
        assert offer_slice(assoc, ct_slice()) == 0
    released.release()
    assert _wait_until(lambda: _outcomes(site) == ["released", None, None])
    aborted.abort()
    assert _wait_until(lambda: _outcomes(site) == ["released", "aborted", None])
    lost.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    assert _wait_until(lambda: _outcomes(site) == ["released", "aborted", "lost"])


def test_abort_in_the_middle_of_an_instance_leaves_nothing(site: Site) -> None:
    """Half a data set, then an abort: no file and no row, and the instance is taken when it comes whole."""
    ds = ct_slice()
    assoc = associate(site.port)
    content = data_set_of(file_of(ds))
    pieces = _fragments(assoc, ds.SOPInstanceUID, content)
    for piece in pieces[:-1]:
        assoc.dul.socket.socket.sendall(piece)
    time.sleep(0.2)
    assoc.abort()
    assert _wait_until(lambda: not site.listener.door._server.open_conversations)
    assert site.files() == []
    assoc = associate(site.port)
    assert offer_slice(assoc, ds) == 0
    assoc.release()


def _fragments(assoc: PeerAssociation, sop_instance_uid: str, data_set: bytes) -> list[bytes]:
    """Return the P-DATA-TF PDUs of a C-STORE request, with the data set in three pieces."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CTImageStorage, sop_instance_uid
    request.DataSet = BytesIO(data_set)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    (context,) = assoc.accepted_contexts
    primitives = message.encode_msg(context.context_id, len(data_set) // 3 + 6)
    return [P_DATA_TF(primitive).encode() for primitive in primitives]


def test_two_listeners_share_the_port(site: Site) -> None:
    """A second listener of the site takes the same address, and the first serves on when it ends."""
    second = Listener(site.settings)
    second.start()
    for _ in range(4):
        site.peer.echo()
    second.stop()
    site.peer.echo()


def test_taken_port_is_said(open_site: OpenSite, site: Site) -> None:
    """Where a stranger has the port, the start fails with the address and the reason."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        settings = site.settings.model_copy(update={"port": stranger.getsockname()[1]})
        with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{settings.port}: the port is taken"):
            Listener(settings).start()


def test_stopping_aborts_what_is_open_and_leaves_no_thread(open_site: OpenSite) -> None:
    """An association that stays open is aborted after the grace, noted as such, and every thread has ended."""
    before = set(threading.enumerate())
    site = open_site()
    assoc = associate(site.port, (CTImageStorage, ExplicitVRLittleEndian), (Verification, ImplicitVRLittleEndian))
    assert offer_slice(assoc, ct_slice()) == 0
    begun = time.monotonic()
    site.listener.stop()
    assert time.monotonic() - begun < 6
    assert _wait_until(lambda: assoc.is_aborted)
    assert _outcomes(site) == ["aborted"]
    assert _wait_until(lambda: set(threading.enumerate()) <= before), threading.enumerate()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.port))

"""What becomes of an invalid PDU that is framed rightly (stage 1): it ends its association, and nothing else.

In: an association that has not begun. Out: the same, which answers by A-ABORT what pynetdicom raises over, as PS3.8
table 9-10 has it for an invalid PDU. Without this the thread that read it would end: the peer would wait without a
word, and its connection would be held until a time limit.
"""

from collections.abc import Callable

from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError

from node.core.dicom import PARSER_FAULTS

_INVALID_PDU, _AWAITING_REQUEST = "Evt19", "Sta2"  # PS3.8 table 9-10


def withstand(assoc: Association, note: Callable[[BaseException], None]) -> None:
    """Have the association withstand PDUs, negotiations and messages that make no sense.

    Parameters
    ----------
    assoc
        An association that has not begun.
    note
        Hears what was raised.
    """
    dul, acse = assoc.dul, assoc.acse
    act, negotiate = dul.state_machine.do_action, acse.negotiate_association

    def act_or_abort(event: str) -> None:
        try:
            act(event)
        except InvalidEventError:  # our own answer comes too late: the association has been aborted meanwhile
            dul.kill_dul()
            if dul.socket is not None:
                dul.socket.close()
        except PARSER_FAULTS as error:
            note(error)
            awaited = dul.state_machine.current_state == _AWAITING_REQUEST
            act(_INVALID_PDU)
            if awaited:
                dul.to_user_queue.put(None)  # what an expired wait for the request returns

    def negotiate_or_abort() -> None:
        try:
            negotiate()
        except PARSER_FAULTS as error:
            note(error)
            assoc.abort()

    dul.state_machine.do_action = act_or_abort  # type: ignore[method-assign]
    acse.negotiate_association = negotiate_or_abort  # type: ignore[method-assign]

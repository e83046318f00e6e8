"""The presentation contexts that the listener accepts: one list, for the door (stage 1) and for the statement of it."""

from pynetdicom import AE
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at run time
    StorageCommitmentPushModel,
    Verification,
)

from node.core.dicom import RETURNING_CLASSES, STORAGE_CLASSES, TRANSFER_SYNTAXES, UNCOMPRESSED
from node.core.settings import PacsDestination, Settings


def wants_reports(settings: Settings) -> bool:
    """Say whether reports of storage commitment are taken in: where a destination is asked for it."""
    return any(isinstance(one, PacsDestination) and one.commitment for one in settings.destinations)


def supported(*, reports: bool) -> list[PresentationContext]:
    """Return what is accepted; the reports of storage commitment only where somebody takes them."""
    ae = AE()
    ae.add_supported_context(Verification)
    for sop_class in STORAGE_CLASSES:
        ae.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
    for sop_class in RETURNING_CLASSES:
        ae.add_supported_context(sop_class, list(UNCOMPRESSED))
    if reports:  # the caller is the SCP here, and says so by role selection (PS3.7 D.3.3.4)
        ae.add_supported_context(StorageCommitmentPushModel, list(UNCOMPRESSED), scu_role=False, scp_role=True)
    return ae.supported_contexts

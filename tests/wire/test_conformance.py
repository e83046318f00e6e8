"""The DICOM Conformance Statement, held against a running listener: what it states is accepted, and nothing else."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date

import pytest
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from node.conformance import statement
from node.core.settings import Archive, PacsDestination, Settings

from .conftest import Site
from .sender import CALLER

ON = date(2026, 11, 27)
OpenSite = Callable[..., Site]
PACS = PacsDestination(kind="dicom", name="pacs", ae_title="PACS", host="192.0.2.1", port=104, commitment=True)
_ROW = re.compile(r"^\| .+ \| `([\d.]+)` \| (.+) \| (.+) \|$", re.MULTILINE)
_PERMUTED = 120  # contexts in one association: PS3.8 allows 128


def stated(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Transfer syntaxes by SOP class, as the page says that they are accepted, in its order."""
    page = statement(settings, ON)
    section = page[page.index("### Presentation contexts that are accepted") : page.index("### What a C-STORE")]
    return {sop_class: tuple(re.findall(r"`([\d.]+)`", names)) for sop_class, names, _ in _ROW.findall(section)}


def accepted(port: int, pairs: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Propose each pair of SOP class and transfer syntax in a context of its own, and yield those that are accepted."""
    ae = AE(CALLER)
    for begin in range(0, len(pairs), _PERMUTED):
        proposed = [build_context(*pair) for pair in pairs[begin : begin + _PERMUTED]]
        roles = [build_role(StorageCommitmentPushModel, scp_role=True)]
        assoc = ae.associate("127.0.0.1", port, proposed, "NODE", ext_neg=roles)
        if assoc.is_established:
            yield from ((str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in assoc.accepted_contexts)
            assoc.release()


@pytest.mark.parametrize("destinations", [(), (PACS,)])
def test_what_is_stated_is_what_is_accepted(open_site: OpenSite, destinations: tuple[PacsDestination, ...]) -> None:
    """Every storage class in every transfer syntax, and the services beside: the page and the listener agree."""
    site = open_site(destinations=destinations)
    says = stated(site.settings)
    assert (StorageCommitmentPushModel in says) == bool(destinations)
    classes = {str(one.abstract_syntax) for one in AllStoragePresentationContexts}
    classes |= {Verification, StorageCommitmentPushModel}
    assert set(says) <= classes
    ours = [one for one in AllTransferSyntaxes if any(one in syntaxes for syntaxes in says.values())]
    foreign = [one for one in AllTransferSyntaxes if one not in ours]
    # A class that is not stated is proposed in the syntaxes of those that are; one that is stated, in all there are.
    pairs = [(one, syntax) for one in sorted(says) for syntax in (*ours, *foreign)]
    pairs += [(one, syntax) for one in sorted(classes - set(says)) for syntax in ours[:2]]
    expected = {(one, syntax) for one, syntaxes in says.items() for syntax in syntaxes}
    assert set(accepted(site.port, pairs)) == expected


def test_the_order_that_is_stated_is_the_order_of_choice(site: Site) -> None:
    """Of several transfer syntaxes in one context the one that stands first on the page is taken."""
    says = stated(site.settings)
    contexts = [build_context(one, list(reversed(syntaxes))) for one, syntaxes in says.items()]
    assoc = AE(CALLER).associate("127.0.0.1", site.port, contexts, "NODE")
    chosen = {str(one.abstract_syntax): str(one.transfer_syntax[0]) for one in assoc.accepted_contexts}
    assoc.release()
    assert chosen == {one: syntaxes[0] for one, syntaxes in says.items()}


def test_who_may_call_is_named(site: Site) -> None:
    """The page names the callers of the settings, their addresses, and the listener's own name."""
    page = statement(site.settings, ON)
    assert f"| `{CALLER}` | 127.0.0.1 |" in page
    assert f"AE title `{site.settings.ae_title}`" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "None with these settings."),
        ({"destinations": (PACS,)}, "storage commitment (push model)"),
        ({"archives": (Archive(ae_title="OLD", host="192.0.2.2", port=104),)}, "### Ask OLD (at 192.0.2.2:104)"),
    ],
)
def test_what_we_propose_follows_the_settings(changes: Mapping[str, object], words: str) -> None:
    """A destination, an archive and the worklist have a section where there are any."""
    page = statement(Settings(**changes), ON)
    assert words in page
    assert ("Study Root Query/Retrieve Information Model - MOVE" in page) == ("archives" in changes)

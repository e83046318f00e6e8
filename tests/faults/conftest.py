"""One campaign for the whole file: each kind of fault once or twice, a fixed seed, then the site at rest."""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from node.servers import CannotStart, Orthanc

from .campaign import Campaign, Outcome, Plan
from .injection import Fault
from .site import Site

_SEED = 2026
_TWICE = (Fault.LISTENER_KILLED, Fault.STEWARD_KILLED, Fault.REDIS_FLUSHED, Fault.INBOUND_RESET, Fault.OUTBOUND_RESET)


@dataclass
class After:
    """A site that came to rest after its faults: the node is stopped, Orthanc still answers."""

    site: Site
    campaign: Campaign
    outcome: Outcome


@pytest.fixture(scope="package")
def after(tmp_path_factory: pytest.TempPathFactory, lacking: Callable[[str], None]) -> Iterator[After]:
    """Make the faults, and let the site come to rest."""
    if not Orthanc.available():
        lacking("Orthanc")
    faults = [*Fault, *_TWICE]
    random.Random(_SEED).shuffle(faults)  # noqa: S311 - chance that can be repeated
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what it says of broken connections is what is wanted
    site = Site(tmp_path_factory.mktemp("faults"))
    try:
        site.start()
        campaign = Campaign(site, Plan(_SEED, faults, faults_s=400, calm_s=300, lanes=4, pause_s=0.3))
        yield After(site, campaign, campaign.run())
    except CannotStart as error:
        lacking(str(error))
    finally:
        site.stop()
        logging.getLogger("pynetdicom").setLevel(logging.NOTSET)

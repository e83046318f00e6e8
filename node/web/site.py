"""What every request works with: settings, ledger, spool, and what this process remembers."""

from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request

from node.core.ledger import Ledger
from node.core.settings import Settings
from node.core.spool import Spool
from node.web.live import Pulse
from node.web.throttle import Throttle


@dataclass(frozen=True)
class Site:
    """The node that is looked at.

    Parameters
    ----------
    said
        What the next page tells somebody, by the digest of the session.
    """

    settings: Settings
    ledger: Ledger
    spool: Spool
    pulse: Pulse
    throttle: Throttle = field(default_factory=Throttle)
    said: dict[str, str] = field(default_factory=dict)

    def tell(self, digest: str, sentence: str) -> None:
        """Keep a sentence for the next page of somebody; what nobody fetched is forgotten some day."""
        while len(self.said) >= _MOST_SAID:
            self.said.pop(next(iter(self.said)))
        self.said[digest] = sentence


_MOST_SAID = 1000


def site_of(request: Request) -> Site:
    """Return the site that a request is about."""
    return cast(Site, request.app.state.site)

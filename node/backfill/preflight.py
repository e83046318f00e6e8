"""What has to be true before an archive is asked for anything: it is in the settings, and may send to us.

Comes in: the settings and an AE title. Goes out: the archive. What can go wrong is said as what has to be entered where
(`WrongArchive`). Who is next: `node.backfill.search`.
"""

import ipaddress

from node.core.settings import Archive, Settings


class WrongArchive(ValueError):
    """No study can be fetched from there; the message says what is missing in the settings."""


def archive_of(settings: Settings, ae_title: str) -> Archive:
    """Return the archive of that AE title.

    Raises
    ------
    WrongArchive
        There is none, or our own listener would not let it in when it sends.
    """
    found = next((one for one in settings.archives if one.ae_title.strip() == ae_title.strip()), None)
    if found is None:
        known = ", ".join(one.ae_title for one in settings.archives)
        raise WrongArchive(
            f"{ae_title} is none of the archives: " + (known or "there are none yet, name one under [[archives]]")
        )
    callers = [one for one in settings.calling if one.ae_title.strip() == found.ae_title.strip()]
    if not callers:
        raise WrongArchive(
            f"{found.ae_title} may not call us, and could send nothing: name it under [[calling]], "
            "by the AE title that it sends with"
        )
    hosts = {str(host) for one in callers for host in one.hosts}
    if all(one.hosts for one in callers) and _is_address(found.host) and found.host not in hosts:
        raise WrongArchive(
            f"{found.ae_title} may call us from {', '.join(sorted(hosts))} and not from {found.host}: "
            "add that to its hosts under [[calling]]"
        )
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

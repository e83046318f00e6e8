"""The broker: Redis answers, and lets us write."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import redis

from node.core.ailments import Ailment
from node.core.findings import Finding, fault, fine
from node.core.settings import Settings, SettingsError
from node.doctor.visit import ANSWER_S, CONNECT_S, Visit

_DENIED = (redis.AuthenticationError, redis.exceptions.NoPermissionError, redis.ReadOnlyError)


def look(visit: Visit) -> Iterator[Finding]:
    """Ask it for an answer, its version, and a list that nobody else has."""
    where = place(visit.settings.broker_url)
    try:
        with client(visit.settings) as asked:
            asked.ping()
            asked.lpush("crlm-node-doctor", "")
            asked.delete("crlm-node-doctor")
            version = asked.info("server").get("redis_version", "?")
    except SettingsError as error:
        yield fault("broker.answers", Ailment.BROKER_DENIED, f"{error}.")
    except ValueError as error:
        yield fault("broker.answers", Ailment.BROKER_DOWN, f"broker_url cannot be read: {error}.")
    except _DENIED as error:
        yield fault("broker.answers", Ailment.BROKER_DENIED, f"Redis at {where} does not let us: {error}.")
    except redis.RedisError as error:
        said = str(error).rstrip(".")
        yield fault("broker.answers", Ailment.BROKER_DOWN, f"Redis at {where} does not answer: {said}.")
    else:
        yield fine("broker.answers", f"Redis {version} at {where} answers and takes messages.")


def client(settings: Settings) -> redis.Redis:
    """Return a client that does not wait long, and does not try twice.

    Raises
    ------
    SettingsError
        The file with its password cannot be read.
    ValueError
        What the URL asks of the connection is not known.
    """
    return redis.Redis.from_url(settings.broker, socket_connect_timeout=CONNECT_S, socket_timeout=ANSWER_S, retry=None)


def place(url: str) -> str:
    """Return host and port of a broker's URL, without user and password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}"

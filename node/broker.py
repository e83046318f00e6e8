"""Whether the broker answers: asked by who keeps processes running, and by the page."""

from node.core.settings import Settings


def ping(settings: Settings, patience_s: float) -> None:
    """Ask the broker for an answer.

    Raises
    ------
    redis.RedisError
        There is none within so many seconds.
    ValueError
        The address cannot be read, or not the file with the password (`SettingsError`).
    """
    import redis  # here: no other command waits for it

    with redis.Redis.from_url(settings.broker, socket_timeout=patience_s, socket_connect_timeout=patience_s) as client:
        client.ping()

"""What limits are, and how often each caller has asked: in windows of time, in memory or in Redis."""

from dataclasses import dataclass
from functools import cache
from math import ceil
from threading import Lock
from time import monotonic, time
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from limits import parse_many
from limits.storage import RedisStorage
from pydantic import AfterValidator, SecretStr
from redis import BlockingConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

MOST_WINDOWS = 100_000  # that a process remembers: about 30 MB
ANSWER_WITHIN = 0.25  # seconds for Redis
ASK_AGAIN_AFTER = 5.0  # seconds without limits after it gave no answer


@dataclass(frozen=True)
class Limit:
    name: str
    most: int
    seconds: int


@cache
def limits_of(text: str, name: str = "default") -> list[Limit]:
    """The limits in a text such as `10/second;1000/hour`; raises ValueError."""
    try:
        items = parse_many(text)
    except ValueError:
        items = []
    if not items or not all(item.amount for item in items):
        raise ValueError("is no rate limit: write it like 120/minute or 10/second;1000/hour")
    names = [name, *(f"{name}-{number}" for number in range(2, len(items) + 1))]
    return [
        Limit(name, item.amount, item.get_expiry()) for name, item in zip(names, items, strict=True)
    ]


def redis_url(storage: str) -> str:
    """Empty for memory; raises ValueError."""
    try:
        parts = urlsplit(storage)
        parts.port  # noqa: B018 - reading it says whether it is a number
    except ValueError:
        parts = urlsplit("")
    is_redis = parts.scheme in ("redis", "rediss") and parts.hostname
    if storage and storage != "memory" and not is_redis:
        raise ValueError(
            "is no place to count in: write it like redis://user:password@host:6379/0"
            " (rediss:// for TLS), or memory, where each process counts by itself"
        )
    return "" if storage == "memory" else storage


def check_text(text: str) -> str:
    limits_of(text)
    return text


def check_storage(storage: SecretStr) -> SecretStr:
    redis_url(storage.get_secret_value())
    return storage


LimitText = Annotated[str, AfterValidator(check_text)]
LimitStorage = Annotated[SecretStr, AfterValidator(check_storage)]


@dataclass(frozen=True, slots=True)
class Window:
    count: int
    ends: float  # as monotonic() has it

    @property
    def seconds(self) -> int:
        """Until it ends."""
        return max(1, ceil(self.ends - monotonic()))


class Windows:
    """What was counted. With Redis, which all processes share, this one keeps what it was told last:
    it need not ask when a window ends, nor anything more about a full one.

    In memory without `limits`: of many threads at once its own counts two that are the last one, and
    it looks through all windows again and again. Django's cache reads and then writes: worse.
    """

    def __init__(self, url: str = "", *, prefix: str = "") -> None:
        self.prefix = prefix
        self.known: dict[str, Window] = {}
        self.lock = Lock()
        self.away = False
        self.ask_after = 0.0
        self.pool: BlockingConnectionPool | None = None
        if url:
            # For a free connection one waits: with an error instead, a crowd would switch limits off.
            self.pool = BlockingConnectionPool.from_url(
                url,
                max_connections=20,
                timeout=ANSWER_WITHIN,
                socket_timeout=ANSWER_WITHIN,
                socket_connect_timeout=ANSWER_WITHIN,
                retry=Retry(NoBackoff(), 0),
            )
            self.redis = RedisStorage(url, connection_pool=self.pool, key_prefix=prefix)

    def full(self, key: str, limit: Limit) -> Window | None:
        """The window, if this process knows that no request is left in it."""
        window = self.known.get(key)
        return window if window and window.count >= limit.most and not is_over(window) else None

    def count(self, key: str, limit: Limit) -> Window | None:
        """The window with this request in it, or None while Redis does not answer."""
        with self.lock:
            known = self.known.get(key)
            if known and is_over(known):
                known = None
            if known and known.count > limit.most:
                return known
            if self.pool is None:
                ends = known.ends if known else monotonic() + limit.seconds
                return self._keep(key, Window(known.count + 1 if known else 1, ends))
            if self.ask_after > monotonic():
                return None
            if self.away:
                # One finds out whether it is back, the others do not wait with it.
                self.ask_after = monotonic() + ASK_AGAIN_AFTER
        try:
            window = self._ask(key, limit, known)
        except (RedisError, OSError) as error:
            self._note(away=True, reason=repr(error))
            return None
        self._note(away=False)
        with self.lock:
            return self._keep(key, window)

    def _ask(self, key: str, limit: Limit, known: Window | None) -> Window:
        count = self.redis.incr(key, limit.seconds)
        if count == 1:
            return Window(count, monotonic() + limit.seconds)
        if known:
            return Window(count, known.ends)
        return Window(count, monotonic() + self.redis.get_expiry(key) - time())

    def _note(self, *, away: bool, **reason: str) -> None:
        with self.lock:
            changed, self.away = self.away != away, away
            self.ask_after = monotonic() + ASK_AGAIN_AFTER if away else 0.0
        if changed and away:
            structlog.get_logger().warning("rate_limits_off", **reason)
        elif changed:
            structlog.get_logger().info("rate_limits_on")

    def _keep(self, key: str, window: Window) -> Window:
        self.known[key] = window
        if len(self.known) > MOST_WINDOWS:
            # The newest stay; a tenth is free again, so that this is rare.
            living = [(key, known) for key, known in self.known.items() if not is_over(known)]
            self.known = dict(living[-MOST_WINDOWS * 9 // 10 :])
        return window

    def why_unreachable(self) -> str | None:
        """One line that says why Redis does not answer, or None when it does."""
        try:
            self.redis.get("nobody")
        except (RedisError, OSError) as error:
            return next(iter(str(error).splitlines()), "") or type(error).__name__
        return None

    def close(self) -> None:
        if self.pool:
            self.pool.disconnect()


def is_over(window: Window) -> bool:
    return window.ends <= monotonic()

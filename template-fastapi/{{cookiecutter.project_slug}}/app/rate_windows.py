"""What limits are, and how often each caller has asked: in windows of time, in memory or in Redis."""

import asyncio
from dataclasses import dataclass
from math import ceil
from time import monotonic, time
from typing import Annotated, Any
from urllib.parse import urlsplit

import structlog
from limits import parse_many
from limits.aio.storage import RedisStorage
from pydantic import AfterValidator, SecretStr
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

MOST_WINDOWS = 100_000  # that a process remembers: about 30 MB
ANSWER_WITHIN = 0.25  # seconds for Redis
ASK_AGAIN_AFTER = 5.0  # seconds without limits after it gave no answer


@dataclass(frozen=True)
class Limit:
    name: str
    most: int
    seconds: int


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

    In memory without `limits`: its own looks through all windows at each request.
    """

    def __init__(self, url: str = "", *, prefix: str = "") -> None:
        self.prefix = prefix
        self.known: dict[str, Window] = {}
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
            options: dict[str, Any] = {"connection_pool": self.pool}
            self.redis = RedisStorage(
                f"async+{url}", implementation="redispy", key_prefix=prefix, **options
            )

    def full(self, key: str, limit: Limit) -> Window | None:
        """The window, if this process knows that no request is left in it."""
        window = self.known.get(key)
        return window if window and window.count >= limit.most and not is_over(window) else None

    async def count(self, key: str, limit: Limit) -> Window | None:
        """The window with this request in it, or None while Redis does not answer."""
        window = self.known.get(key)
        if window and is_over(window):
            window = None
        if window and window.count > limit.most:
            return window
        if self.pool:
            window = await self._ask(key, limit, window)
        elif window:
            window = Window(window.count + 1, window.ends)
        else:
            window = Window(1, monotonic() + limit.seconds)
        if window:
            self._keep(key, window)
        return window

    async def _ask(self, key: str, limit: Limit, known: Window | None) -> Window | None:
        if self.ask_after > monotonic():
            return None
        if self.away:
            # One finds out whether it is back, the others do not wait with it.
            self.ask_after = monotonic() + ASK_AGAIN_AFTER
        try:
            async with asyncio.timeout(2 * ANSWER_WITHIN):
                count = await self.redis.incr(key, limit.seconds)
                if count == 1:
                    ends = monotonic() + limit.seconds
                elif known:
                    ends = known.ends
                else:
                    ends = monotonic() + await self.redis.get_expiry(key) - time()
        except (RedisError, OSError) as error:
            self.ask_after = monotonic() + ASK_AGAIN_AFTER
            if not self.away:
                structlog.get_logger().warning("rate_limits_off", reason=repr(error))
            self.away = True
            return None
        if self.away:
            structlog.get_logger().info("rate_limits_on")
        self.away, self.ask_after = False, 0.0
        return Window(count, ends)

    def _keep(self, key: str, window: Window) -> None:
        self.known[key] = window
        if len(self.known) > MOST_WINDOWS:
            # The newest stay; a tenth is free again, so that this is rare.
            living = [(key, known) for key, known in self.known.items() if not is_over(known)]
            self.known = dict(living[-MOST_WINDOWS * 9 // 10 :])

    async def why_unreachable(self) -> str | None:
        """One line that says why Redis does not answer, or None when it does."""
        try:
            async with asyncio.timeout(5):
                await self.redis.get("nobody")
        except (RedisError, OSError) as error:
            return next(iter(str(error).splitlines()), "") or type(error).__name__
        return None

    async def close(self) -> None:
        if self.pool:
            await self.pool.disconnect()


def is_over(window: Window) -> bool:
    return window.ends <= monotonic()

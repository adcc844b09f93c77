"""What those say who send, when nobody takes it."""

import logging
import time

QUIET_FOR = 600.0  # seconds


class Seldom(logging.Filter):
    """Lets one record through, then none for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now < self.quiet_until:
            return False
        self.quiet_until = now + QUIET_FOR
        return True


def complain_seldom(*loggers: str) -> None:
    """Let each of these loggers say one thing in ten minutes: they do for each batch they cannot send."""
    for name in loggers:
        logger = logging.getLogger(name)
        for old in [one for one in logger.filters if isinstance(one, Seldom)]:
            logger.removeFilter(old)
        logger.addFilter(Seldom())

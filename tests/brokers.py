"""Brokers for tests: our own, or one that was given where there is none to be started."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proof.brokers import Broker, own, why_not

GIVEN = {"redis": "TEST_REDIS_URL", "rabbitmq": "TEST_RABBITMQ_URL"}


@contextmanager
def found_or_own(name: str) -> Iterator[tuple[str, Broker | None]]:
    """Its URL, empty for `embedded`, and the broker when it is our own. Skips the test, with a sentence, where there is
    none.
    """
    if name == "embedded":
        yield "", None
    elif not (reason := why_not(name)):
        with own(name) as broker:
            yield broker.url, broker
    elif url := os.environ.get(GIVEN[name], ""):
        yield url, None
    else:
        sentence = f"NOT PROVED with {name}: {reason}, and {GIVEN[name]} is not set"
        warnings.warn(sentence, stacklevel=2)
        pytest.skip(sentence)

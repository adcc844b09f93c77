"""Brokers for tests: our own, or one that was given where there is none to be started."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from proof.brokers import own, why_not

GIVEN = {"redis": "TEST_REDIS_URL", "rabbitmq": "TEST_RABBITMQ_URL"}


@contextmanager
def found_or_own(name: str) -> Iterator[str]:
    """Its URL, empty for `embedded`. Skips the test, with a sentence, where there is none."""
    if name == "embedded":
        yield ""
    elif not (reason := why_not(name)):
        with own(name) as broker:
            yield broker.url
    elif url := os.environ.get(GIVEN[name], ""):
        yield url
    else:
        sentence = f"NOT PROVED with {name}: {reason}, and {GIVEN[name]} is not set"
        warnings.warn(sentence, stacklevel=2)
        pytest.skip(sentence)

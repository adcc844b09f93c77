"""How long it takes from nothing to the first green test, and how long the tests and checks take afterwards."""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Options, seconds_of, spread
from benchmarks.generation import with_cookiecutter


def measure(options: Options) -> Iterator[Figure]:
    for stack in ("fastapi", "django"):
        yield from _measure(options, stack)


def _measure(options: Options, stack: str) -> Iterator[Figure]:
    # Fills uv's cache, whoever ran before; it is not measured.
    _first_green_test(options, stack, "before")
    taken = [_first_green_test(options, stack, f"warm-{number}") for number in range(3)]
    yield Figure(f"{stack}, first green test: generate, uv sync, just test", spread(taken, ".1f", " s"))
    cold = _first_green_test(options, stack, "cold", UV_CACHE_DIR=str(options.folder / f"uv-cache-{stack}"))
    yield Figure(f"{stack}, the same with an empty uv cache (network)", f"{cold:.1f} s")
    project = _project(options.folder / f"{stack}-warm-0")
    taken = [seconds_of(["uv", "run", "just", "test"], project) for _ in range(3)]
    yield Figure(f"{stack}, its tests: just test", spread(taken, ".1f", " s"))
    taken = [seconds_of(["uv", "run", "just", "check"], project) for _ in range(4)]
    yield Figure(f"{stack}, its checks: just check, first", f"{taken[0]:.1f} s")
    yield Figure(f"{stack}, its checks: just check, again", spread(taken[1:], ".1f", " s"))


def _first_green_test(options: Options, stack: str, name: str, **more: str) -> float:
    into = options.folder / f"{stack}-{name}"
    into.mkdir()
    started = time.perf_counter()
    seconds_of(with_cookiecutter(options.template, into, stack), options.folder)
    for command in (["uv", "sync"], ["uv", "run", "just", "test"]):
        seconds_of(command, _project(into), **more)
    return time.perf_counter() - started


def _project(into: Path) -> Path:
    return next(path for path in into.iterdir() if (path / "pyproject.toml").exists())

"""Settings that are a JSON object: for each name what stands behind it, its secrets among that."""

import json
import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, SecretStr, ValidationError

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MOST_NAME = 64  # characters
# What may be repeated in a sentence: it does not look like a secret.
FIELD = re.compile(r"[a-z_]{1,24}")

Thing = TypeVar("Thing")
Model = TypeVar("Model", bound=BaseModel)


class MistakesError(ValueError):
    """A sentence for each mistake, none with a value in it: that could be a secret."""


def without_blanks(value: object) -> object:
    """An empty secret is none: whoever knows that would have the key."""
    values = [value] if isinstance(value, str | SecretStr) else value
    if not isinstance(values, list | tuple):
        return value
    texts = [one.get_secret_value() if isinstance(one, SecretStr) else one for one in values]
    return tuple(text for text in texts if not isinstance(text, str) or text.strip())


# Several while they are changed.
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(without_blanks)]


def named(
    given: object, read: Callable[[object], Thing], *, setting: str, kind: str, example: str
) -> dict[str, Thing]:
    """From JSON, or what is in it already. `read` takes what stands behind a name. Raises
    MistakesError, and expects it of `read`."""
    if isinstance(given, str):
        given = content_of(given)
    if not isinstance(given, dict):
        raise MistakesError(f"is no JSON object: write it like {example}")
    things: dict[str, Thing] = {}
    mistakes: list[str] = []
    for number, (name, values) in enumerate(given.items(), 1):
        label = f"the {kind} {name}" if is_name(name) else f"{kind} {number}"
        try:
            things[name] = read(values)
        except MistakesError as error:
            mistakes += [f"has a mistake in {label}: {one}" for one in error.args]
        if not is_name(name):
            mistakes.append(
                f"has a name of {kind} {number} that is not of small letters, digits and single"
                " hyphens, such as lender-a"
            )
    if mistakes:
        # The name of the setting is put in front of the first one.
        raise MistakesError(f"\n{setting} ".join(mistakes))
    return things


def content_of(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=without_repetitions)
    except json.JSONDecodeError as error:
        raise MistakesError(
            f"is no JSON (line {error.lineno}, column {error.colno}): in .env it stands between"
            " single quotes"
        ) from None


def without_repetitions(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON allows a name twice, and drops one."""
    if len(dict(pairs)) < len(pairs):
        raise MistakesError("has a name twice: only one of them would count")
    return dict(pairs)


def is_name(name: object) -> bool:
    return isinstance(name, str) and len(name) <= MOST_NAME and bool(NAME.fullmatch(name))


def read_as(model: type[Model], values: object) -> Model:
    """Raises MistakesError."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise MistakesError(*mistakes_in(error, model)) from None


def mistakes_in(error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    for one in error.errors(include_input=False, include_url=False):
        name = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "extra_forbidden":
            near = get_close_matches(name, model.model_fields, n=1)
            shown = f" {name}" if FIELD.fullmatch(name) else ""
            meant = f": did you mean {near[0]}?" if near else ""
            yield f"it has no field{shown}{meant}" if shown else f"it has an unknown field{meant}"
        elif one["type"] == "value_error":
            yield one["msg"].removeprefix("Value error, ")
        elif name == "secrets":
            yield 'secrets must be a list of texts, such as ["..."]'
        else:
            message = f"{one['msg'][0].lower()}{one['msg'][1:]}"
            yield f"{name}: {message}" if name else message

"""Does a document have the shape of the policy file? If not: where not, what would be right?

`schema` says what is right; here its complaints get their place in the file and words for the
person who wrote it.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from extauthz.policyfile.document import Mapping, Node, Sequence
from extauthz.policyfile.problems import Place
from extauthz.policyfile.schema import DenialModel, PolicyModel, SubscriptionModel

__all__ = ["Misfit", "read"]

Location: TypeAlias = tuple[int | str, ...]

_KEY = "[key]"
"""How pydantic marks that a key of a mapping is meant, and not its value."""
_MODELS: dict[int, type[BaseModel]] = {0: PolicyModel, 2: SubscriptionModel, 3: DenialModel}
"""The model that holds at each depth of the document; none at depth 1, the names."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """One way in which the document does not have the shape."""

    place: Place
    message: str
    remedy: str


def read(root: Node) -> PolicyModel | list[Misfit]:
    """The policy file's content in its shape, or everything that is wrong with its shape."""
    try:
        return PolicyModel.model_validate(root.plain())
    except ValidationError as error:
        return [_misfit(root, details) for details in error.errors(include_url=False)]


def _misfit(root: Node, details: ErrorDetails) -> Misfit:
    location = details["loc"]
    kind = details["type"]
    if kind == "extra_forbidden":
        known = _keys(location[:-1])
        return Misfit(
            _key_place(root, location), f"unknown key {str(location[-1])!r}",
            _did_you_mean(str(location[-1]), known),
        )  # fmt: skip
    if kind == "missing":
        model = _MODELS[len(location) - 1]
        description = model.model_fields[str(location[-1])].description
        place = _key_place(root, location[:-1])
        return Misfit(place, f"the key {str(location[-1])!r} is missing", f"add it: {description}")
    if location and location[-1] == _KEY:
        place = _key_place(root, location[:-1])
        return Misfit(place, f"{details['input']!r} is not a possible name", _NAME_REMEDY)
    what = f"{str(location[-1])!r}" if location and isinstance(location[-1], str) else "the value"
    return Misfit(_value_place(root, location), *_value(what, details))


_NAME_REMEDY = "use 1 to 63 letters, digits, '.', '_' and '-', a letter or digit first"

_REMEDIES = {
    "model_type": ("should be a mapping", "write `key: value` lines below it"),
    "dict_type": ("should be a mapping", "write `key: value` lines below it"),
    "list_type": ("should be a list", "write it as [first, second] or as lines with '- '"),
    "string_type": ("should be text", "put the value in quotes"),
    "bool_type": ("should be true or false", "write true or false, without quotes"),
    "int_type": ("should be a whole number", "write digits, without quotes"),
    "too_short": ("is empty", "name at least one"),
    "string_too_short": ("is empty", "write a value"),
    "string_pattern_mismatch": ("is not a media type", "write it like text/plain; charset=utf-8"),
}
"""What is wrong, and what would be right, by pydantic's name for the mistake."""


def _value(what: str, details: ErrorDetails) -> tuple[str, str]:
    if details["type"] in _REMEDIES:
        wrong, remedy = _REMEDIES[details["type"]]
        return f"{what} {wrong}", remedy
    given = repr(details["input"])
    if details["type"] == "literal_error":
        expected = details["ctx"]["expected"]
        options = [option for option in expected.replace(" or ", ", ").split(", ") if option]
        options = [option.strip("'") for option in options]
        return f"{what} cannot be {given}", _did_you_mean(str(details["input"]), options)
    return f"{what} cannot be {given[:80]}", details["msg"].lower()


def _keys(location: Location) -> Iterable[str]:
    model = _MODELS.get(len(location))
    return () if model is None else model.model_fields


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    options = list(known)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"possible here: {', '.join(options)}"


def _value_place(root: Node, location: Location) -> Place:
    return _walk(root, location).place


def _key_place(root: Node, location: Location) -> Place:
    """Where the last key of a location stands; the beginning of the document for the root."""
    if not location:
        return root.place
    parent = _walk(root, location[:-1])
    key = str(location[-1])
    return parent.keys[key] if isinstance(parent, Mapping) and key in parent.keys else parent.place


def _walk(root: Node, location: Location) -> Node:
    node = root
    for step in location:
        if isinstance(node, Mapping) and step in node.values:
            node = node.values[str(step)]
        elif isinstance(node, Sequence) and isinstance(step, int):
            node = node.items[step]
    return node

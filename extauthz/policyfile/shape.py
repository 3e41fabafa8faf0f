"""Does a document have the shape of the policy file? If not: where not, what would be right?

`schema` says what is right; here its complaints get their place in the file and words for the
person who wrote it.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from types import NoneType, UnionType
from typing import Annotated, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from extauthz.files import Place
from extauthz.policyfile.document import Mapping, Node, Sequence
from extauthz.policyfile.model import NAME_PATTERN, TAGS
from extauthz.policyfile.problems import MAX_QUOTED, Mistake, quoted
from extauthz.policyfile.schema import PolicyModel

__all__ = ["mistakes", "read"]

Location: TypeAlias = tuple[int | str, ...]

_KEY = "[key]"
"""How pydantic marks that a key of a mapping is meant, and not its value."""


def read(root: Node) -> PolicyModel | list[Mistake]:
    """The policy file's content in its shape, or everything that is wrong with its shape."""
    try:
        return PolicyModel.model_validate(root.plain())
    except ValidationError as error:
        return mistakes(root, error, PolicyModel)


def mistakes(root: Node, error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """What keeps a document from having the shape of `model`, which refused it."""
    return [_mistake(root, details, model) for details in error.errors(include_url=False)]


def _mistake(root: Node, details: ErrorDetails, whole: type[BaseModel]) -> Mistake:
    tagged, kind = details["loc"], details["type"]
    # The document has no steps for the forms that a value may have.
    location = tuple(step for step in tagged if step not in TAGS)
    if kind == "extra_forbidden":
        key = str(location[-1])
        return Mistake(
            _key_place(root, location),
            f"unknown key {quoted(key)}",
            _did_you_mean(key, _keys(whole, tagged[:-1])),
        )
    if kind == "missing":
        model = _model(whole, tagged[:-1])
        description = None if model is None else _fields(model)[str(location[-1])].description
        place = _key_place(root, location[:-1])
        return Mistake(place, f"the key {str(location[-1])!r} is missing", f"add it: {description}")
    if len(location) in _KEY_REMEDIES and location[-1] == _KEY:
        what, remedy = _KEY_REMEDIES[len(location)]
        place = _key_place(root, location[:-1])
        return Mistake(place, f"{quoted(str(location[-2]))} is not a possible {what}", remedy)
    what = "the value"
    if not location:
        what = "the file"
    elif isinstance(location[-1], str):
        what = quoted(location[-1])
    return Mistake(_walk(root, location).place, *_value(what, details))


_KEY_REMEDIES = {
    3: ("name", "use 1 to 63 letters, digits, '.', '_' and '-', a letter or digit first"),
    5: ("login", "write the name with which the account logs in"),
    6: ("OID", "write it in dotted form, like 1.3.6.1.4.1.99999.1"),
    7: ("name in certificates", "write the name that the account had, like alice@example.com"),
}
"""What a mistaken key stands for and what would be right, by the length of its location: in
`subscriptions`, in `accounts`, in `extensions` and in `former`. A value that has `_KEY` for its
name has another length."""

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
    kind, given = details["type"], details["input"]
    if given is None and kind in ("string_type", "literal_error", "enum"):
        kind = "string_too_short"
    if kind == "string_type" and isinstance(given, (dict, list)):
        return f"{what} should be text, not {_shown(given)}", "write one value"
    if kind == "string_pattern_mismatch" and details["ctx"]["pattern"] == NAME_PATTERN:
        return f"{what} is not a possible name", _KEY_REMEDIES[3][1]
    if kind in _REMEDIES:
        wrong, remedy = _REMEDIES[kind]
        return f"{what} {wrong}", remedy
    if kind in ("literal_error", "enum"):
        # pydantic joins them: 'off', 'audit' or 'enforce'
        options = re.findall(r"'([^']*)'", details["ctx"]["expected"])
        return f"{what} cannot be {_shown(given)}", _did_you_mean(str(given), options)
    expected = details["msg"][:1].lower() + details["msg"][1:]
    return f"{what} cannot be {_shown(given)}", expected.replace("input should", "it should")


def _shown(given: object) -> str:
    """A value as it stands in the file, or its kind."""
    match given:
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case bool():
            return str(given).lower()
        case _:
            return quoted(given) if isinstance(given, str) else str(given)


def _keys(whole: type[BaseModel], location: Location) -> Iterable[str]:
    model = _model(whole, location)
    return () if model is None else _fields(model)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the keys that stand for them in the document."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _model(whole: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The model that holds at a place of the document; None where none does, as for names."""
    found: object = whole
    for step in location:
        options = list(_options(found))
        if step in TAGS:
            found = next((kind for tag, kind in options if tag == step), None)
            continue
        # Of an optional one, what it is when it is there.
        found = next((kind for _, kind in options if kind is not NoneType), None)
        if isinstance(found, type) and issubclass(found, BaseModel):
            fields = _fields(found)
            found = _annotation(fields[str(step)]) if step in fields else None
        else:
            found = get_args(found)[-1] if get_args(found) else None
    models = (kind for _, kind in _options(found))
    return next((m for m in models if isinstance(m, type) and issubclass(m, BaseModel)), None)


def _annotation(field: FieldInfo) -> object:
    """What was written for the type of a field: pydantic takes it apart."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def _options(annotation: object) -> Iterator[tuple[str | None, object]]:
    """The types that a value may have, each with its tag."""
    tag = None
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        tag = next((each.tag for each in metadata if isinstance(each, Tag)), None)
    if isinstance(annotation, UnionType) or get_origin(annotation) is Union:
        for each in get_args(annotation):
            yield from _options(each)
    else:
        yield tag, annotation


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    options = list(known)
    # Longer words resemble none of them, and comparing takes time.
    close = difflib.get_close_matches(word[:MAX_QUOTED], options, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"possible here: {', '.join(options)}"


def _key_place(root: Node, location: Location) -> Place:
    """Where the last key of a location stands, or its item; for the root, where it begins."""
    if not location:
        return root.place
    parent = _walk(root, location[:-1])
    if isinstance(parent, Sequence):
        return _walk(root, location).place
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

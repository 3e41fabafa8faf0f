"""An Envoy configuration as plain values, and the way into it.

A part of another kind than Envoy would take is a `WrongShapeError`, not a part that is not there:
what is passed over in silence would be a check that says yes.
"""

from collections.abc import Iterator
from typing import TypeAlias

__all__ = ["List", "Mapping", "Node", "WrongShapeError", "listed", "mapping", "mappings", "named"]

Node: TypeAlias = "dict[str, Node] | list[Node] | str | float | bool | None"
Mapping: TypeAlias = dict[str, Node]
List: TypeAlias = list[Node]


class WrongShapeError(ValueError):
    """What stands somewhere is not what Envoy expects there; the message says where."""


def mapping(parent: Mapping, key: str) -> Mapping:
    """The mapping under a key; an empty one, which is not part of the parent, without it."""
    found = parent.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise WrongShapeError(f"`{key}` is not a mapping")
    return found


def listed(parent: Mapping, key: str) -> list[Mapping]:
    """The mappings in the list under a key; none without it."""
    found = parent.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise WrongShapeError(f"`{key}` is not a list")
    items = [item for item in found if isinstance(item, dict)]
    if len(items) != len(found):
        raise WrongShapeError(f"`{key}` has an item that is not a mapping")
    return items


def mappings(node: Node) -> Iterator[Mapping]:
    """Every mapping in a tree, the node itself included, each once wherever aliases have it."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, dict | list) or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, dict):
            yield current
            waiting.extend(reversed(current.values()))
        else:
            waiting.extend(reversed(current))


def named(typed_config: Mapping, message: str) -> bool:
    """Whether a `typed_config` is of a message type, such as `ExtAuthz`."""
    return str(typed_config.get("@type")).endswith(f".{message}")

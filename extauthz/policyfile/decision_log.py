"""The `decision_log` of the policy: what decision records are not to say, and under which key.

The key is read here, so that a policy which takes effect has one. No message repeats it, nor the
name of its place, where somebody may have written the key itself.
"""

import os
from pathlib import Path

from extauthz.files import FileProblemError, read_octets
from extauthz.policyfile import document
from extauthz.policyfile.accounts import check_secret
from extauthz.policyfile.document import Node, Scalar, says, texts
from extauthz.policyfile.problems import Report, counted, quoted
from extauthz.redaction import MIN_KEY_OCTETS, Redacted, Redaction

__all__ = ["key_file", "redaction"]

MAX_KEY_OCTETS = 64 * 1024
_REMEDY = "make one with `openssl rand -hex 32 > redact.key`"


def key_file(node: Node | None, beside: Path) -> Path | None:
    """The file that has the key; None where that is elsewhere."""
    key = _key(node)
    written = None if key is None else says(key, "file")
    return beside / written if isinstance(written, str) and written else None


def redaction(node: Node | None, beside: Path, report: Report) -> Redaction | None:
    """What is to be hidden; None for nothing. What is wrong is reported where the shape is right.

    Without a key that will do there is no redaction either: then the policy takes no effect.
    """
    if not isinstance(node, document.Mapping):
        return None
    fields: set[Redacted] = set()
    for item in texts(node.values.get("redact")):
        if item.value not in set(Redacted):
            continue
        field = Redacted(str(item.value))
        if field in fields:
            report(item.place, f"{quoted(field)} stands twice", "leave one out")
        fields.add(field)
    key = _read(node, beside, report)
    return Redaction(frozenset(fields), key) if fields and key is not None else None


def _key(node: Node | None) -> document.Mapping | None:
    found = node.values.get("key") if isinstance(node, document.Mapping) else None
    return found if isinstance(found, document.Mapping) else None


def _read(node: document.Mapping, beside: Path, report: Report) -> bytes | None:
    place = _key(node)
    if place is None:
        return None
    check_secret(place, report)
    variable, path = place.values.get("env"), key_file(node, beside)
    where: Node = place
    if path is not None:
        where, what = place.values["file"], "the file of the key"
        try:
            octets = read_octets(path, MAX_KEY_OCTETS)
        except FileProblemError as error:
            report(where.place, f"{what} {error}", f"{error.remedy}, or {_REMEDY}")
            return None
    elif isinstance(variable, Scalar) and isinstance(variable.value, str) and variable.value:
        where, what = variable, "the environment variable of the key"
        value = os.environ.get(variable.value)
        if value is None:
            remedy = "set it where extauthz runs, for example to what `openssl rand -hex 32` prints"
            report(where.place, f"{what} is not set", remedy)
            return None
        octets = os.fsencode(value)
    else:
        return None
    key = octets.strip()
    if len(key) < MIN_KEY_OCTETS:
        length = counted(len(key), "octet")
        message = f"{what} holds {length}, and a key has {MIN_KEY_OCTETS} at least"
        report(where.place, message, _REMEDY)
        return None
    return key

"""The lists by which Envoy says which header fields are meant: `ListStringMatcher`s."""

import re

from extauthz.envoyconfig.tree import Mapping, listed, mapping

__all__ = ["matches", "may_match", "patterns"]


def patterns(parent: Mapping, key: str) -> list[Mapping]:
    """The StringMatchers of the list under a key; none without it."""
    return listed(mapping(parent, key), "patterns")


def matches(pattern: Mapping, name: str) -> bool:
    """Whether a StringMatcher matches a name for certain: one that is a regular expression may not.

    Names are compared in lower case: a pattern with a capital letter needs `ignore_case`.
    """

    def text(key: str) -> str:
        value = str(pattern.get(key))
        return value.lower() if pattern.get("ignore_case") is True else value

    return (
        ("exact" in pattern and name == text("exact"))
        or ("prefix" in pattern and name.startswith(text("prefix")))
        or ("suffix" in pattern and name.endswith(text("suffix")))
        or ("contains" in pattern and text("contains") in name)
    )


def may_match(pattern: Mapping, name: str) -> bool:
    """Whether a StringMatcher may match a name. What cannot be told apart may."""
    if matches(pattern, name):
        return True
    if not pattern.keys().isdisjoint({"exact", "prefix", "suffix", "contains"}):
        return False
    regex = mapping(pattern, "safe_regex").get("regex")
    try:
        return not isinstance(regex, str) or re.fullmatch(regex, name) is not None
    except re.error:
        return True

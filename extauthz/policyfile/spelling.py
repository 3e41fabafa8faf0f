"""Logins that were misspelt: the one that was meant, where a policy names one that nobody has."""

from collections.abc import Iterable

__all__ = ["meant"]

MIN_LENGTH = 4
"""Shortest login that another can be a slip for: shorter ones are alike by chance."""


def meant(login: str, others: Iterable[str]) -> str | None:
    """The one of the others that it is, but for its case or one slip of the pen.

    `difflib` takes seconds for it where there are 100,000 accounts.
    """
    return next((other for other in others if _is_slip(login.lower(), other.lower())), None)


def _is_slip(one: str, other: str) -> bool:
    """Whether one letter is missing, too many or another one, or two stand the wrong way."""
    if one == other:
        return True
    if abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < MIN_LENGTH:
        return False
    # What is numbered differs in its number: robot1 is no slip for robot2.
    if list(filter(str.isdigit, one)) != list(filter(str.isdigit, other)):
        return False
    while one[:1] == other[:1]:
        one, other = one[1:], other[1:]
    is_swapped = one[:2] == other[1::-1] and one[2:] == other[2:]
    return is_swapped or one[1:] in {other, other[1:]} or one == other[1:]

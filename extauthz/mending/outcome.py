"""How a command ends when it does not do what it was asked for. The messages are the operator's."""

__all__ = ["FailedError", "MendingError", "RefusedError"]


class MendingError(Exception):
    """Nothing was changed; the message says why, and what would be right."""


class RefusedError(MendingError):
    """A rule says no."""


class FailedError(MendingError):
    """It would be allowed, and cannot be done."""

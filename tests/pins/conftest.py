"""What holds for all tests of pins."""

import pytest

from extauthz.pins import redis_client


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast Redis is here is not what is tested; those tests that wait set their own time."""
    monkeypatch.setattr(redis_client, "SECONDS", 20.0)

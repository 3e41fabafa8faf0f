"""What tests of the report share."""

import pytest

from extauthz.demo.authority import authority, name


@pytest.fixture
def ca_pem() -> str:
    """A CA of today."""
    return authority(name("CA")).pem

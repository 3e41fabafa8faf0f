"""Decision records in tests."""

import json
from collections.abc import Iterable
from typing import Any


def checks_in(lines: Iterable[str | bytes]) -> list[dict[str, Any]]:
    """The records of checks; those of certificates stand between them."""
    records = [json.loads(line) for line in lines]
    return [record for record in records if record["record"] == "check"]

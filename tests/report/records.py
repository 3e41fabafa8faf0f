"""Lines of a decision log, made by hand."""

import json

__all__ = ["CHROME", "check", "line"]

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
    " Safari/537.36"
)


def check(**members: object) -> dict[str, object]:
    """The record of a check that passed, but for what is given."""
    record: dict[str, object] = {
        "schema": 1, "record": "check", "time": "2026-11-01T10:00:00Z", "request_id": "id",
        "host": "acme.example", "method": "GET", "path": "/", "client": "192.0.2.1",
        "user_agent": CHROME, "login": "alice", "login_source": "basic", "other_logins": [],
        "login_problem": None, "policy_generation": 1, "redacted": [], "duration_us": 40,
        "subscription": "acme", "mode": "audit", "decision": "allow", "allowed": True,
        "reasons": [], "details": [], "tolerated": [], "tolerated_details": [], "exempt": None,
        "not_asked": [], "accounts": ["alice"], "signing_certificate": None, "certificate": None,
        "certificate_problem": None,
    }  # fmt: skip
    return record | members


def line(record: dict[str, object]) -> bytes:
    """The record as it stands in a file."""
    return json.dumps(record).encode() + b"\n"

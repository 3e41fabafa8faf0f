"""Records of checks: one line of JSON for each, whatever is in it."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from extauthz.check import CheckRequest
from extauthz.decision import undecided
from extauthz.findings import Finding, Reason
from extauthz.login import Login
from extauthz.observe.record import MAX_TEXT, Entry, LineEncoder
from extauthz.records.line import CheckRecord, parse

NOW = datetime(2026, 11, 24, 3, 4, 5, 678901, tzinfo=UTC)
KEYS = {field.alias or name for name, field in CheckRecord.model_fields.items()}
ANY = st.text(st.characters(exclude_categories=()))


@given(ANY, ANY, ANY, ANY, ANY)
def test_any_text_makes_exactly_one_line(a: str, b: str, c: str, d: str, e: str) -> None:
    """No input makes a second line, another key, or an error; lone surrogates included."""
    finding = Finding(Reason.SUBSCRIPTION_UNKNOWN, e)
    missing = Finding(Reason.CERTIFICATE_MISSING, e)
    request = CheckRequest(a, "GET", b, None, (Login(c, "basic"),), (), missing, d, e, c)
    line = LineEncoder().line(Entry(undecided(finding), request, d, 1, NOW, 0.0000421))
    record = json.loads(line)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert not any(octet < 0x20 for octet in line[:-1])
    assert record.keys() == KEYS
    assert isinstance(parse(line), CheckRecord)
    assert record["time"] == "2026-11-24T03:04:05.678901Z"
    assert (record["duration_us"], record["reasons"]) == (42, ["subscription_unknown"])
    if a.isascii():
        assert record["host"] == a


def test_long_text_is_cut() -> None:
    """A client cannot fill the disk with one request."""
    finding = Finding(Reason.SUBSCRIPTION_UNKNOWN, "x" * 10**6)
    request = CheckRequest(
        "h" * 10**6, "GET", "/" * 10**6, None, (), (), finding, "i" * 10**6, "c" * 10**6
    )
    line = LineEncoder().line(Entry(undecided(finding), request, "i" * 10**6, 1, NOW, 0))

    assert len(line) < 6 * MAX_TEXT

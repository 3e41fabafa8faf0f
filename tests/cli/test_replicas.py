"""Several replicas of one server: what they count adds up, what they know is the same."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.cli.conftest import Company, Server

Serving = Callable[..., AbstractContextManager[Server]]


def test_counters_of_replicas_add_up_to_what_was_asked(company: Company, serving: Serving) -> None:
    """Each check is counted by the one replica that decided it; gauges say the same everywhere."""
    with serving(company.policy) as first, serving(company.policy) as second:
        for server, passing, failing in ((first, 7, 2), (second, 3, 5)):
            for _ in range(passing):
                assert server.check(company.alice) == 200
            for _ in range(failing):
                assert server.check() == 403
        exposed = [server.metrics() for server in (first, second)]

    total: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
    for metrics in exposed:
        total.update(metrics)
    of_acme = {"subscription": "acme", "mode": "enforce"}
    for decision, count in {"allow": 10, "deny": 7}.items():
        key = frozenset({**of_acme, "decision": decision}.items())
        assert total["extauthz_checks_total", key] == count
    missing = frozenset({"subscription": "acme", "reason": "certificate_missing"}.items())
    assert total["extauthz_denials_total", missing] == 7
    assert total["extauthz_check_duration_seconds_count", frozenset()] == 17
    name = "extauthz_signing_certificate_expiry_timestamp_seconds"
    expiry = [{key: end for key, end in metrics.items() if key[0] == name} for metrics in exposed]
    assert expiry[0] == expiry[1] != {}

"""What `/metrics` says of lists and responders."""

from pathlib import Path

from prometheus_client import CollectorRegistry

from extauthz.demo.authority import authority, name
from extauthz.evidence.gathered import GatheredEvidence
from extauthz.inquiry import Inquiry, OcspPolicy
from extauthz.observe.gathered import Gathered
from extauthz.ocsp import Question
from extauthz.revocation import CrlSource
from tests.revocation.made import HOUR, NEXT, NOW, answer, ca, crl
from tests.revocation.servers import HttpServer, content, status

ACME = authority(name("Acme CA"))


async def test_lists_and_responders_are_counted(tmp_path: Path, server: HttpServer) -> None:
    """Age, end and size of each list; what came of readings and questions; the use of the cache."""
    file = tmp_path / "acme.crl"
    file.write_bytes(crl(ACME, [1, 2, 3]))
    source = CrlSource(str(file))
    server.behaviours["/ocsp"] = content(answer(ACME, 7))
    server.behaviours["/dead"] = status(500)
    async with GatheredEvidence(tmp_path / "state") as evidence:
        registry = CollectorRegistry()
        registry.register(Gathered(evidence))
        await evidence.lists.prepare({source: frozenset([ca(ACME)])})
        file.write_bytes(b"garbage")
        await evidence.lists.reread()
        for path in ("/ocsp", "/dead"):
            inquiry = Inquiry(server.url(path), Question(ca(ACME), 7), OcspPolicy(server.url(path)))
            await evidence.ask([inquiry])
            evidence.answered(inquiry)

    def value(metric: str, **labels: str) -> float | None:
        return registry.get_sample_value(metric, labels)

    of_list = {"source": str(file), "issuer": "CN=Acme CA", "covers": "all",
               "key": ca(ACME).identity.hex()[:16]}  # fmt: skip
    assert value("extauthz_crl_entries", **of_list) == 3
    assert value("extauthz_crl_this_update_timestamp_seconds", **of_list) == (
        (NOW - HOUR).timestamp()
    )
    assert value("extauthz_crl_next_update_timestamp_seconds", **of_list) == (NEXT.timestamp())
    assert value("extauthz_crl_source_successful", source=str(file)) == 0
    assert value("extauthz_crl_readings_total", source=str(file), result="new") == 1
    assert value("extauthz_crl_readings_total", source=str(file), result="failed") == 1
    responder = server.url("").rstrip("/")
    assert value("extauthz_ocsp_requests_total", responder=responder, result="good") == 1
    assert value("extauthz_ocsp_requests_total", responder=responder, result="failed") == 1
    assert value("extauthz_ocsp_request_duration_seconds_count", responder=responder) == 2
    assert value("extauthz_ocsp_answers") == 2
    assert (value("extauthz_ocsp_answers_lookups_total", result="hit") or 0) >= 2
    assert (value("extauthz_ocsp_answers_lookups_total", result="miss") or 0) >= 2

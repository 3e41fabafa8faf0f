"""The form to try a certificate: decided as the server decides, and leaving no trace."""

import base64
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.admin.attempt import Attempt, attempt
from extauthz.policy import Policy
from tests.admin.conftest import Answer, Operator, Serving, counts, operator_of
from tests.admin.test_pages import Seen, decision_of
from tests.admin.traffic import HOSTILE, World, ask
from tests.cli.conftest import Server

FORM = "application/x-www-form-urlencoded"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def try_out(operator: Operator, **fields: str) -> Answer:
    return operator.ask("/try", "POST", body=urlencode(fields), Content_Type=FORM)


def multipart(fields: Mapping[str, str | bytes]) -> tuple[str, bytes]:
    """A form as a browser sends it with a file."""
    boundary = f"----{uuid.uuid4().hex}"
    parts: list[bytes] = []
    for name, value in fields.items():
        file = (
            '; filename="cert"\r\nContent-Type: application/octet-stream' if name == "file" else ""
        )
        octets = value if isinstance(value, bytes) else value.encode()
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        parts.append(head.encode() + octets + b"\r\n")
    return f"multipart/form-data; boundary={boundary}", b"".join(
        parts
    ) + f"--{boundary}--\r\n".encode()


def pseudonyms(page: str) -> set[str]:
    """What stands in place of something that is hidden."""
    return set(re.findall("redacted:[0-9a-f]{32}", page))


class TestOutcome:
    """What would be decided."""

    @pytest.mark.parametrize(
        ("who", "fields", "verdict"),
        [
            ("alice", {"login": "alice"}, "Passed 3. It is the account's"),
            ("alice", {}, "Passed 3. It is the account's"),
            ("alice", {"login": "bob"}, "Refused: the certificate's email is not the account's"),
            ("bob", {"login": "bob"}, "Refused: the certificate's email is not the account's"),
            ("strange", {"login": "bob"}, "issuer_mismatch"),
            ("expired", {}, "certificate_expired"),
            ("", {"login": "alice"}, "Refused: no certificate was presented"),
            ("", {"login": "ci", "client": "192.0.2.9"}, "Tolerated 1. A certificate is present"),
            ("", {"login": "ci", "client": "198.51.100.1"}, "no certificate was presented"),
            ("alice", {"host": "nobody.example.com"}, "the host belongs to no subscription"),
            ("alice", {"host": "off.example.com"}, "Not made 1. A certificate is present"),
        ],
        ids=str,
    )  # fmt: skip
    def test_it_is_what_the_server_decides(
        self, operator: Operator, world: World, who: str, fields: dict[str, str], verdict: str
    ) -> None:
        """By the policy in force, explained check by check."""
        certificate = getattr(world, who).pem if who else ""
        asked = {"host": "acme.example.com", "certificate": certificate} | fields
        answer = try_out(operator, **asked)
        assert answer.status == 200
        assert verdict in Seen(answer.body).words

    def test_it_can_be_another_day(self, operator: Operator, world: World) -> None:
        """In UTC, as the browser's field for it writes it; or with another offset."""
        past = datetime.now(UTC) - timedelta(days=100)
        for at in (
            f"{past:%Y-%m-%dT%H:%M}",
            past.isoformat(),
            "0001-01-01T00:00",
            "9999-12-31T23:59",
        ):
            answer = try_out(operator, host="acme.example.com", certificate=world.alice.pem, at=at)
            words = Seen(answer.body).words
            assert answer.status == 200
            assert "Failed 2. It is within its validity period" in words

    @pytest.mark.parametrize("form", ["pem", "der"])
    def test_a_file_can_be_sent(self, operator: Operator, world: World, form: str) -> None:
        """PEM or DER; what is shown again is PEM."""
        octets = world.alice.der if form == "der" else world.alice.pem.encode()
        content_type, body = multipart(
            {"host": "acme.example.com", "login": "alice", "certificate": "", "file": octets}
        )
        answer = operator.ask("/try", "POST", body=body, Content_Type=content_type)
        assert answer.status == 200
        assert "Passed 3. It is the account's" in Seen(answer.body).words
        assert world.alice.pem.splitlines()[1] in answer.body

    def test_it_leaves_no_trace(self, operator: Operator, server: Server, world: World) -> None:
        """No line, no count, and nothing that a check could be answered from."""
        connection = server.connect()
        ask(connection, "acme.example.com", world.alice, login="alice", request_id="before")
        before, page = counts(server), operator.page("/decisions")
        for at in ("", "2126-01-01T00:00", "2020-01-01T00:00"):
            for login in ("alice", "bob", "nobody"):
                answer = try_out(
                    operator, host="acme.example.com", login=login, at=at,
                    certificate=world.alice.pem,
                )  # fmt: skip
                assert answer.status == 200
        assert counts(server) == before
        assert operator.page("/decisions") == page
        assert ask(connection, "acme.example.com", world.alice, login="alice") == 200
        assert ask(connection, "acme.example.com", world.alice, login="bob") == 403
        connection.close()

    def test_it_tells_nobody_who_is_who_in_a_redacted_log(
        self, world: World, serving: Serving
    ) -> None:
        """What was sent is shown as it was sent, and what was not is hidden anew each time."""
        key = world.policy.with_name("trial.key")
        key.write_text("0123456789abcdef0123456789abcdef")
        policy = world.policy.with_name("trial.yaml")
        hidden = f"decision_log: {{redact: [email, login, client], key: {{file: {key}}}}}\n"
        policy.write_text(hidden + world.policy.read_text())
        with serving(policy) as server:
            operator, connection = operator_of(server), server.connect()
            ask(connection, "acme.example.com", world.alice, login="alice", request_id="1")
            connection.close()
            logged = pseudonyms(operator.page(decision_of(operator, "1")))
            sent = {
                "host": "acme.example.com", "certificate": world.alice.pem, "client": "192.0.2.77",
            }  # fmt: skip
            with_login = try_out(operator, login="alice", **sent).body
            first, second = (try_out(operator, **sent).body for _ in range(2))
        assert len(logged) == 4  # the login, the subject, the address in it, the client's address
        assert pseudonyms(with_login) == set()
        words = Seen(with_login).words
        for told in ("from 192.0.2.77", "'alice'", "'alice@acme.example'", "CN=alice"):
            assert told in words
        # Whose the certificate is stands in the policy, and not in the form.
        assert len(pseudonyms(first)) == len(pseudonyms(second)) == 1
        assert not pseudonyms(first) & (logged | pseudonyms(second))


class TestMistakes:
    """What cannot be tried."""

    @pytest.mark.parametrize(
        ("fields", "wrong", "told"),
        [
            ({"host": ""}, "host", "is not a host"),
            ({"host": "https://acme.example.com/"}, "host", "write the host alone"),
            ({"path": "no-slash"}, "path", "is not a path"),
            ({"method": "G E T"}, "method", "is not a method"),
            ({"client": "somewhere"}, "client", "is not an IP address"),
            ({"at": "tomorrow"}, "at", "this is no time"),
            ({"login": "alice:hunter2"}, "login", "write the login alone, without a password"),
            ({"certificate": "hello"}, "certificate", "holds no certificate"),
            ({"certificate": "-----BEGIN CERTIFICATE-----\n"}, "certificate", "is broken"),
        ],
        ids=str,
    )
    def test_each_is_told_at_its_field(
        self, operator: Operator, fields: dict[str, str], wrong: str, told: str
    ) -> None:
        """With what would be right, in a list that leads there; a password is not repeated."""
        answer = try_out(operator, **({"host": "acme.example.com"} | fields))
        assert answer.status == 422
        assert told in Seen(answer.body).words
        assert f'id="{wrong}-wrong"' in answer.body
        assert f'<a href="#{wrong}">' in answer.body
        assert "hunter2" not in answer.body
        assert answer.body.count('aria-invalid="true"') == 1

    @pytest.mark.parametrize("where", ["certificate", "login", "host", "file"])
    @pytest.mark.parametrize("form", ["alone", "after", "broken"])
    def test_a_private_key_is_refused_and_not_shown_again(
        self, operator: Operator, world: World, where: str, form: str
    ) -> None:
        """Whatever field it is in, and whatever stands beside it."""
        key = world.alice.key_pem
        secret = key.splitlines()[1]
        text = {"alone": key, "after": world.alice.pem + key, "broken": key[:150]}[form]
        content_type, body = multipart(
            {"host": "acme.example.com", "login": "alice"} | {where: text}
        )
        answer = operator.ask("/try", "POST", body=body, Content_Type=content_type)
        assert answer.status == 422
        assert "There is a private key in what you sent" in answer.body
        assert secret not in answer.body
        assert secret[:40] not in answer.body
        assert "acme.example.com" not in answer.body.partition("<form")[2].partition("hint")[0]

    def test_a_key_in_der_or_pkcs12_is_refused_and_not_shown_again(
        self, operator: Operator, world: World
    ) -> None:
        """As PEM is."""
        der = base64.b64decode("".join(world.alice.key_pem.splitlines()[1:-1]))
        encrypted = world.alice.key.private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
        for octets in (der, encrypted, world.alice.pkcs12("secret")):
            content_type, body = multipart({"host": "acme.example.com", "file": octets})
            answer = operator.ask("/try", "POST", body=body, Content_Type=content_type)
            assert answer.status == 422
            assert "private key" in answer.body
            assert base64.b64encode(octets)[:40].decode() not in answer.body

    def test_hostile_fields_are_shown_as_text(self, operator: Operator) -> None:
        """In the field that they came in."""
        for text in HOSTILE:
            answer = try_out(
                operator,
                host=text,
                login=text,
                path=text,
                method=text,
                client=text,
                at=text,
                certificate=text,
            )
            assert answer.status == 422
            seen = Seen(answer.body)
            assert "script" not in seen.elements
            assert "onmouseover" not in seen.attributes
            assert "onerror" not in seen.attributes

    def test_a_form_that_is_too_large_is_refused(self, operator: Operator) -> None:
        """Before it is read."""
        answer = try_out(operator, host="acme.example.com", certificate="x" * 200_000)
        assert answer.status == 413

    @pytest.mark.parametrize(
        ("content_type", "body", "status"),
        [
            ("text/plain", b"host=x", 400),
            ("multipart/form-data", b"host=x", 400),
            ("multipart/form-data; boundary=x", b"", 400),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--", 400),
            (FORM, b"\xff=\xff&host", 422),
            (FORM, b"&".join(b"a=b" for _ in range(100)), 400),
        ],
        ids=["text", "no boundary", "empty", "no name", "no utf-8", "many fields"],
    )
    def test_what_is_no_form_is_refused(
        self, operator: Operator, content_type: str, body: bytes, status: int
    ) -> None:
        """Plainly."""
        answer = operator.ask("/try", "POST", body=body, Content_Type=content_type)
        assert answer.status == status

    @pytest.mark.parametrize(
        "fields",
        [
            {"Origin": "http://attacker.example"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Origin": "null"},
        ],
        ids=str,
    )
    def test_a_form_of_another_site_is_refused(
        self, operator: Operator, fields: dict[str, str]
    ) -> None:
        """Nobody has an operator's browser ask directories."""
        body = urlencode({"host": "acme.example.com"})
        assert operator.ask("/try", "POST", body=body, Content_Type=FORM, **fields).status == 403


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["host", "login", "path", "method", "client", "at", "certificate", "file"]),
        st.text(max_size=60),
    )
)
def test_any_fields_are_an_attempt_or_mistakes(fields: dict[str, str]) -> None:
    """One of the two, always."""
    tried: Attempt = attempt(fields, Policy([]), NOW)
    assert bool(tried.mistakes) != (tried.facts is not None)

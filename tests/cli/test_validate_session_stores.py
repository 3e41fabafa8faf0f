"""`extauthz validate` on stores of sessions: whether one would do what is asked of it today."""

import json
from pathlib import Path

import pytest

from extauthz.demo.authority import authority, name
from extauthz.pins import redis_client
from tests.cli.conftest import POLICY, Company, Run
from tests.pins.redis_server import RedisServer, redis_server
from tests.pins.test_shared import tls_settings
from tests.ports import LOOPBACK, free_port

PASSWORD = "s3cret of the store"
USER = ("ACL", "SETUSER", "pins", "on", f">{PASSWORD}", "~extauthz:pin:*")
RIGHTS = ("+getex", "+set", "+get", "+multi", "+exec")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fast Redis is here is not what is tested."""
    monkeypatch.setattr(redis_client, "SECONDS", 20.0)


def with_store(store: str, more: str = "", *, mode: str = "enforce") -> str:
    return f"{POLICY}    mode: {mode}\n    session: {{cookie: SID, store: '{store}'{more}}}\n"


def told(company: Company, run: Run, store: str, more: str = "") -> str:
    """What is said, online, of a store that is not as it should be."""
    company.write(with_store(store, more))
    done = run("validate", "--online", company.policy)
    assert done.returncode == 1
    assert "would take effect, but 1 subscription would admit nobody" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "lapsed" in line]
    assert len(lines) == 1
    before = f"{company.policy}: lapsed: 'acme': the store of sessions: "
    assert lines[0].startswith(before)
    return lines[0].removeprefix(before)


def test_store_is_asked_only_when_told_so(company: Company, extauthz_here: Run) -> None:
    store = f"redis://{LOOPBACK}:{free_port()}"
    company.write(with_store(store))
    done = extauthz_here("validate", company.policy)
    assert (done.returncode, done.stderr) == (0, "")
    assert told(company, extauthz_here, store) == (
        "no connection: Connection refused; start it, or mend host and port in `store`, or what"
        " is between here and there: it has to be reached from where `extauthz serve` runs"
    )


def test_store_that_does_what_it_is_asked_is_left_as_it_was(
    company: Company, extauthz_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no more rights than checks need, and without a key."""
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    with redis_server(tmp_path) as server:
        server.run(*USER, *RIGHTS)
        store = f"redis://pins@{LOOPBACK}:{server.port}/0"
        company.write(with_store(store, ", password: {env: REDIS_PASSWORD}"))
        done = extauthz_here("validate", "--online", company.policy)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.run("DBSIZE") == "0"


def _full(server: RedisServer) -> None:
    server.run("CONFIG", "SET", "maxmemory", "1")


def _replica(server: RedisServer) -> None:
    server.run("REPLICAOF", LOOPBACK, str(free_port()))


def _locked(server: RedisServer) -> None:
    server.run("CONFIG", "SET", "requirepass", "something else")


TROUBLES = {
    "full": (_full, "it is out of memory; give it more `maxmemory`"),
    "replica": (_replica, "it is a replica that only reads; name its primary in `store`"),
    "locked": (_locked, "it does not accept the user or the password; mend `password`"),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_store_that_answers_and_does_not_do_it_is_told_with_its_remedy(
    kind: str, company: Company, extauthz_here: Run, tmp_path: Path
) -> None:
    """That it is there is not enough."""
    harm, expected = TROUBLES[kind]
    with redis_server(tmp_path) as server:
        harm(server)
        assert told(company, extauthz_here, server.url).startswith(expected)


def test_store_that_hangs(
    company: Company, extauthz_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for longer than a check waits."""
    monkeypatch.setattr(redis_client, "SECONDS", 0.2)
    with redis_server(tmp_path) as server:
        server.hang()
        said = told(company, extauthz_here, server.url)
    assert said.startswith("no answer within 0.2 s; look whether it hangs or is overloaded")


def test_secret_that_is_missing(
    company: Company, extauthz_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_PASSWORD", raising=False)
    said = told(company, extauthz_here, "redis://localhost", ", password: {env: REDIS_PASSWORD}")
    assert said == (
        "the environment variable REDIS_PASSWORD is not set; provide it where `extauthz serve`"
        " runs, and here to try it"
    )


def test_user_who_may_not_do_it(
    company: Company, extauthz_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy is the command that grants what is missing."""
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    with redis_server(tmp_path) as server:
        server.run(*USER, "+get", "+ping")
        store = f"redis://pins@{LOOPBACK}:{server.port}/0"
        said = told(company, extauthz_here, store, ", password: {env: REDIS_PASSWORD}")
        rights = "ACL SETUSER NAME ~extauthz:pin:* +getex +set +get +multi +exec"
        assert said.endswith(f"; grant its user: {rights}")
        server.run(*rights.replace("NAME", "pins").split())
        done = extauthz_here("validate", "--online", company.policy)
        assert done.returncode == 0


def test_redis_that_is_too_old(company: Company, extauthz_here: Run, tmp_path: Path) -> None:
    """It lacks GETEX."""
    with redis_server(tmp_path, "--rename-command", "GETEX", "") as server:
        said = told(company, extauthz_here, server.url)
    assert said.startswith("it does not know GETEX, SET, GET, MULTI or EXEC; use Redis 6.2 or")


def test_store_whose_ca_is_another(company: Company, extauthz_here: Run, tmp_path: Path) -> None:
    ours = authority(name("Our CA"))
    with redis_server(tmp_path, *tls_settings(tmp_path, ours), scheme="rediss") as server:
        said = told(company, extauthz_here, server.url, ", ca_file: acme-ca.pem")
        assert "its TLS certificate is not accepted" in said
        assert "; name its CA in `ca_file`" in said
        plain = told(company, extauthz_here, server.url.replace("rediss:", "redis:"))
        assert "whether TLS is spoken there" in plain


def test_store_of_a_subscription_that_is_off_refuses_nobody(
    company: Company, extauthz_here: Run
) -> None:
    """No store is asked there: what is wrong with it is worth a warning."""
    company.write(with_store(f"redis://{LOOPBACK}:{free_port()}", mode="off"))
    done = extauthz_here("validate", "--online", company.policy)
    assert done.returncode == 0
    assert "warning: 'acme': the store of sessions: no connection" in done.stdout


CLEAR = {
    "redis://redis.internal:6379/0": True,
    "redis://pins@192.0.2.7/0": True,
    "redis://[2001:db8::7]:6379": True,
    "redis://localhost/0": False,
    "redis://127.0.0.2:6379": False,
    "redis://[::1]/0": False,
    "rediss://redis.internal:6379/0": False,
}


@pytest.mark.parametrize(("store", "warned"), CLEAR.items(), ids=CLEAR)
def test_password_in_the_clear_is_allowed_and_told(
    store: str, warned: bool, company: Company, extauthz_here: Run,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """On a private network it may be meant; nobody is to find it out later."""
    monkeypatch.setenv("REDIS_PASSWORD", PASSWORD)
    company.write(with_store(store, ", password: {env: REDIS_PASSWORD}"))
    report = json.loads(extauthz_here("validate", "--json", company.policy).stdout)

    assert report["valid"] is True
    said = [(each["severity"], each["message"], each["line"]) for each in report["problems"]]
    assert said == [
        ("warning", "`session`: the store's password is sent in the clear, and so are logins", 9),
    ][: int(warned)]  # fmt: skip


def test_store_without_a_password_has_none_to_send(company: Company, extauthz_here: Run) -> None:
    company.write(with_store("redis://redis.internal:6379/0"))
    done = extauthz_here("validate", company.policy)
    assert "0 errors, 0 warnings" in done.stdout

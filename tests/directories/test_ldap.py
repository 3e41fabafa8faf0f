"""Accounts in LDAP, against a real slapd: found, protected, killed, hung and brought back."""

import asyncio
import importlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extauthz.accounts import Account
from extauthz.demo.authority import authority, name
from extauthz.directory import ldap_connection
from extauthz.directory.backend import DirectoryError, UnreachableError
from extauthz.directory.ldap import LdapBackend
from extauthz.directory.ldap_entries import accounts
from extauthz.directory.ldap_settings import problem_with
from extauthz.identity import Identity, IdentityKind, parse
from extauthz.lookup import ByIdentity, ByLogin, LdapDirectory, LookupKey, Secret
from tests.directories.slapd import (
    BIND_DN,
    LOOPBACK,
    PASSWORD,
    PEOPLE,
    Slapd,
    person,
    require_slapd,
)

SHORT = timedelta(seconds=0.4)
PATIENCE = timedelta(seconds=20)
"""For what does answer, however busy the machine is."""
VARIABLE = "EXTAUTHZ_TEST_LDAP_PASSWORD"
BIND = {"bind_dn": BIND_DN, "password": Secret(variable=VARIABLE)}
ANYWHERE = LdapDirectory("ldap://ldap.acme.example", PEOPLE, "uid", "mail", timeout=PATIENCE)
STAFF = "cn=staff,ou=groups,dc=acme,dc=example"
WHEEL = "cn=wheel,ou=groups,dc=acme,dc=example"
LONG = "text of more than twenty characters"
"""Not to be found by chance: see TEXTS."""
CROWD = [person(f"crowd{number}", "crowd@acme.example") for number in range(21)]
PAIR = [person(f"pair{number}", "pair@acme.example") for number in range(2)]
ENTRIES = (
    person("alice", "alice@acme.example", "Alice.Archer@acme.example", inGroup=[STAFF, WHEEL]),
    person("bob", "bob@acme.example", locked="TRUE", userAccountControl="514"),
    person("carol", "carol@acme.example", locked="FALSE", userAccountControl="512"),
    person("dave", "dave@acme.example") + "uid: David\nuid: the king\n",
    person("erin", "erin@acme.example") + "mail;lang-de: erna@acme.example\n",
    # Octets that are no UTF-8, and some that are.
    person("frank", "frank@acme.example") + f"exactLogin:: /w==\nexactLogin: {LONG}\n",
    f"""\
dn: cn=list,{PEOPLE}
objectClass: inetOrgPerson
cn: list
sn: list
mail: list@acme.example
""",
    *CROWD,
    *PAIR,
)
ASK = """\
import asyncio, sys
from datetime import timedelta
from extauthz.directory.ldap import LdapBackend
from extauthz.lookup import ByLogin, LdapDirectory
url, base, ca_file, way = sys.argv[1:]
directory = LdapDirectory(
    url, base, "uid", "mail", ca_file=ca_file, start_tls=way == "StartTLS",
    timeout=timedelta(seconds=20),
)
asyncio.run(LdapBackend(directory).find(ByLogin("alice")))
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    """One for all that leave it alone."""
    require_slapd()
    with Slapd(tmp_path_factory.mktemp("slapd"), *ENTRIES) as running:
        yield running


@pytest.fixture
def own_slapd(tmp_path: Path) -> Iterator[Slapd]:
    """One that a test may stop, kill and hang."""
    require_slapd()
    with Slapd(tmp_path / "slapd", *ENTRIES) as running:
        yield running


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)


@pytest.fixture
def other_ca(tmp_path: Path) -> str:
    """A CA that issued nothing."""
    path = tmp_path / "other.pem"
    path.write_text(authority(name("Another CA")).pem)
    return str(path)


def at(slapd: Slapd, **changes: object) -> LdapDirectory:
    """The settings for a slapd, in the clear and anonymous unless told."""
    return replace(ANYWHERE, **{"url": slapd.url} | changes)  # type: ignore[arg-type]


def over_tls(slapd: Slapd, way: str, **changes: object) -> LdapDirectory:
    """The settings for a protected connection to a slapd, one way or the other."""
    options = {"ca_file": str(slapd.ca_file)} | BIND | changes
    if way == "ldaps":
        return at(slapd, url=slapd.tls_url, **options)
    return at(slapd, start_tls=True, **options)


def email(text: str) -> Identity:
    found = parse(IdentityKind.EMAIL, text)
    assert found is not None
    return found


@asynccontextmanager
async def opened(directory: LdapDirectory) -> AsyncIterator[LdapBackend]:
    backend = LdapBackend(directory)
    try:
        yield backend
    finally:
        await backend.close()


async def found(directory: LdapDirectory, key: LookupKey) -> list[Account]:
    async with opened(directory) as backend:
        return list(await backend.find(key))


async def logins(directory: LdapDirectory, key: LookupKey) -> list[str]:
    return [account.login for account in await found(directory, key)]


async def why_not(backend: LdapBackend, login: str = "alice") -> str:
    """What the directory's failure to answer says."""
    with pytest.raises(DirectoryError) as caught:
        await backend.find(ByLogin(login))
    return str(caught.value)


async def refusal(directory: LdapDirectory) -> str:
    async with opened(directory) as backend:
        return await why_not(backend)


@contextmanager
def listening(*answers: bytes) -> Iterator[int]:
    """A server that gives these answers, one to each message, and says nothing from then on."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve(connection: socket.socket) -> None:
            with connection:
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)
                while connection.recv(65536):
                    pass

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def connections_to(port: int) -> int:
    """How many established TCP connections to that port there are on this machine."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return sum(field[2].endswith(f":{port:04X}") and field[3] == "01" for field in fields)


async def until_connections(port: int, count: int) -> None:
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while connections_to(port) != count:  # noqa: ASYNC110 (the kernel's)
            await asyncio.sleep(0.02)


class TestFound:
    async def test_by_login(self, slapd: Slapd) -> None:
        """An entry is found by its login, and is an account with all of its addresses."""
        (account,) = await found(at(slapd), ByLogin("alice"))
        assert account.login == "alice"
        assert set(account.identities) == {
            email("alice@acme.example"),
            email("alice.archer@acme.example"),
        }
        assert account.groups == frozenset()
        assert not account.is_disabled

    @pytest.mark.parametrize("address", ["alice@acme.example", "alice.archer@acme.example"])
    async def test_by_email(self, slapd: Slapd, address: str) -> None:
        """An entry is found by each of its addresses, however the directory writes their case."""
        (account,) = await found(at(slapd), ByIdentity(email(address)))
        assert account.login == "alice"
        assert email(address) in account.identities

    async def test_several(self, slapd: Slapd) -> None:
        """All accounts with an address are found; what has the address and no login is none."""
        pair = await logins(at(slapd), ByIdentity(email("pair@acme.example")))
        assert sorted(pair) == ["pair0", "pair1"]
        assert await found(at(slapd), ByIdentity(email("list@acme.example"))) == []

    async def test_unknown(self, slapd: Slapd) -> None:
        """A login or an address that no entry has is nobody's."""
        assert await found(at(slapd), ByLogin("mallory")) == []
        assert await found(at(slapd), ByIdentity(email("mallory@acme.example"))) == []

    @pytest.mark.parametrize(
        ("asked", "login"),
        [("dave", "dave"), ("DAVID", "David"), ("david", "David"), ("the  king", "dave")],
    )
    async def test_login_of_several(self, slapd: Slapd, asked: str, login: str) -> None:
        """Of several logins it is the one that was asked by, or else the first."""
        assert await logins(at(slapd), ByLogin(asked)) == [login]

    async def test_groups(self, slapd: Slapd) -> None:
        """Groups are the values of the group attribute, as they are."""
        (account,) = await found(at(slapd, group_attribute="inGroup"), ByLogin("alice"))
        assert account.groups == {STAFF, WHEEL}

    @pytest.mark.parametrize("attribute", ["locked", "userAccountControl", "USERACCOUNTCONTROL"])
    async def test_disabled(self, slapd: Slapd, attribute: str) -> None:
        """Who is locked is disabled; who is not, or has no such attribute, is not."""
        directory = at(slapd, disabled_attribute=attribute)
        async with opened(directory) as backend:
            for login, is_disabled in (("alice", False), ("bob", True), ("carol", False)):
                (account,) = await backend.find(ByLogin(login))
                assert account.is_disabled is is_disabled

    async def test_filter(self, slapd: Slapd) -> None:
        """What does not fulfil the filter is not found."""
        directory = at(slapd, filter="(!(|(uid=bob)(locked=TRUE)))")
        assert await logins(directory, ByLogin("alice")) == ["alice"]
        assert await logins(directory, ByLogin("bob")) == []

    async def test_base(self, slapd: Slapd) -> None:
        """Only what is below the base is found, and a base that is not there is an error."""
        assert await found(at(slapd, base=f"uid=bob,{PEOPLE}"), ByLogin("alice")) == []
        nowhere = "ou=nowhere,dc=acme,dc=example"
        said = f"there is no {nowhere}, or extauthz may not see it"
        assert await refusal(at(slapd, base=nowhere)) == said

    async def test_too_many(self, slapd: Slapd) -> None:
        """An address that more than twenty entries share is answered by none of them."""
        async with opened(at(slapd)) as backend:
            with pytest.raises(DirectoryError, match="more than 20 entries"):
                await backend.find(ByIdentity(email("crowd@acme.example")))
            assert await backend.find(ByLogin("crowd7"))

    async def test_other_kind(self, slapd: Slapd) -> None:
        """The name in certificates may be of another kind than an address."""
        directory = at(slapd, kind=IdentityKind.UPN)
        name_asked = parse(IdentityKind.UPN, "alice@acme.example")
        assert name_asked is not None
        assert await logins(directory, ByIdentity(name_asked)) == ["alice"]

    async def test_options(self, slapd: Slapd) -> None:
        """The values of an attribute with options are values of the attribute (RFC 4512 2.5.2)."""
        assert await logins(at(slapd), ByIdentity(email("erna@acme.example"))) == ["erin"]

    async def test_octets(self, slapd: Slapd) -> None:
        """A value that is not UTF-8 is left out, and the others stay."""
        (account,) = await found(at(slapd, group_attribute="exactLogin"), ByLogin("frank"))
        assert account.groups == {LONG}

    async def test_another_name_of_the_attribute(self, slapd: Slapd) -> None:
        """Where entries are found by an attribute that they do not show, somebody must know."""
        said = await refusal(at(slapd, login_attribute="userid"))
        assert (
            said == "what it finds by userid has no userid: may extauthz read it, under this name?"
        )

    def test_part_of_the_groups(self) -> None:
        """A directory that gives a part of the groups has not answered."""
        entry = {"uid": [b"alice"], "inGroup;range=0-1499": [STAFF.encode()]}
        directory = replace(ANYWHERE, group_attribute="inGroup")
        with pytest.raises(DirectoryError, match="the values of inGroup in parts"):
            accounts(directory, ByLogin("alice"), [entry])

    def test_unusable(self) -> None:
        """An address that is none is kept for who mends it, and is no name of the account."""
        entry = {"uid": [b"alice"], "mail": [b"alice", b"alice@acme.example"]}
        (account,) = accounts(ANYWHERE, ByLogin("alice"), [entry])
        assert account.identities == (email("alice@acme.example"),)
        assert account.unusable == ("alice",)

    @pytest.mark.parametrize("value", [b"true", b"000001010000Z", b"", b"\xff"])
    def test_disabled_by_anything(self, value: bytes) -> None:
        """Whatever is not FALSE or 0 disables, and so does a userAccountControl of no number."""
        for attribute in ("nsAccountLock", "userAccountControl"):
            entry = {"uid": [b"alice"], attribute: [value]}
            directory = replace(ANYWHERE, disabled_attribute=attribute)
            (account,) = accounts(directory, ByLogin("alice"), [entry])
            assert account.is_disabled

    async def test_referrals(self, tmp_path: Path) -> None:
        """Another server that the directory refers to is not asked."""
        require_slapd()
        with socket.create_server((LOOPBACK, 0)) as elsewhere:
            branch = f"ou=branch,{PEOPLE}"
            referral = (
                f"dn: {branch}\nobjectClass: referral\nobjectClass: extensibleObject\nou: branch\n"
                f"ref: ldap://{LOOPBACK}:{elsewhere.getsockname()[1]}/{branch}\n"
            )
            with Slapd(tmp_path / "slapd", *ENTRIES, referral) as slapd:
                assert await logins(at(slapd), ByLogin("alice")) == ["alice"]
                said = await refusal(at(slapd, base=branch))
                assert said == "it refuses the search: referral"
            elsewhere.setblocking(False)  # noqa: FBT003
            with pytest.raises(BlockingIOError):
                elsewhere.accept()


HOSTILE = ["*", "a*", ")(uid=*", "alice)(objectClass=*", "\\", "\\2a", "\0", "alice\0", " alice",
           "alice ", "", "(", "é", "\U0001f600", "\n", "#", "=", "&(", "\\00"]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(min_size=0, max_size=20))


class TestEscaping:
    @given(stored=TEXTS.filter(bool), asked=TEXTS)
    @example(stored="alice", asked="*")
    @example(stored="alice", asked=")(uid=*")
    @settings(max_examples=60, deadline=None)
    def test_exact(self, slapd: Slapd, stored: str, asked: str) -> None:
        """No login finds anything but the entry that has exactly this login."""
        ldap = importlib.import_module("ldap")
        admin = ldap.initialize(slapd.url)
        admin.simple_bind_s(BIND_DN, PASSWORD)
        change = (ldap.MOD_REPLACE, "exactLogin", [stored.encode()])
        admin.modify_s(f"uid=alice,{PEOPLE}", [change])
        admin.unbind_s()
        backend = LdapBackend(at(slapd, login_attribute="exactLogin"))

        async def ask() -> None:
            for login in (stored, asked):
                answer = [account.login for account in await backend.find(ByLogin(login))]
                assert answer == ([stored] if login == stored else [])
            await backend.close()

        asyncio.run(ask())

    @pytest.mark.parametrize("login", HOSTILE)
    async def test_usual_matching(self, slapd: Slapd, login: str) -> None:
        """Where the directory compares more loosely, special characters are still only text."""
        expected = ["alice"] if login.strip() == "alice" else []
        assert await logins(at(slapd), ByLogin(login)) == expected

    async def test_no_text(self, slapd: Slapd) -> None:
        """A login that is no UTF-8 is nobody's."""
        assert await found(at(slapd), ByLogin("alice\udcff")) == []


class TestBind:
    async def test_password(self, slapd: Slapd) -> None:
        """It binds with the password from the place that the settings name."""
        assert await logins(at(slapd, **BIND), ByLogin("alice")) == ["alice"]

    async def test_wrong_password(self, slapd: Slapd, monkeypatch: pytest.MonkeyPatch) -> None:
        """A refused bind is said in few words, without the password and without the login."""
        monkeypatch.setenv(VARIABLE, "hunter2")
        async with opened(at(slapd, **BIND)) as backend:
            with pytest.raises(DirectoryError) as caught:
                await backend.find(ByLogin("alice"))
        assert str(caught.value) == "it refuses the bind: invalid credentials"
        assert not isinstance(caught.value, UnreachableError)

    @pytest.mark.parametrize(
        ("password", "why"),
        [("", "the password is empty"), ("\udcff", "the password is not text in UTF-8")],
    )
    async def test_no_password(
        self, slapd: Slapd, monkeypatch: pytest.MonkeyPatch, password: str, why: str
    ) -> None:
        """An empty password, which would bind as nobody (RFC 4513 5.1.2), is not sent."""
        monkeypatch.setenv(VARIABLE, password)
        assert (await refusal(at(slapd, **BIND))).startswith(why)

    async def test_rotated(self, own_slapd: Slapd, tmp_path: Path) -> None:
        """A password that changes in its file counts for the next connection."""
        file = tmp_path / "password"
        file.write_text(f"{PASSWORD}\n")
        directory = at(own_slapd, bind_dn=BIND_DN, password=Secret(file=str(file)))
        async with opened(directory) as backend:
            assert await backend.find(ByLogin("alice"))
            own_slapd.stop()
            own_slapd.set_password("battery staple")
            own_slapd.start()
            assert await why_not(backend) == "it refuses the bind: invalid credentials"
            file.write_text("battery staple\n")
            assert await backend.find(ByLogin("alice"))

    async def test_in_the_clear(self) -> None:
        """A password never leaves for another machine without TLS."""
        said = await refusal(replace(ANYWHERE, **BIND))  # type: ignore[arg-type]
        assert said == "the password would be sent in the clear: use ldaps://, or `start_tls`"


@pytest.mark.parametrize("way", ["ldaps", "StartTLS"])
class TestTls:
    async def test_accepted(self, slapd: Slapd, way: str) -> None:
        """A directory whose certificate is of the given CA and for its address is asked."""
        assert await logins(over_tls(slapd, way), ByLogin("alice")) == ["alice"]

    async def test_wrong_ca(self, slapd: Slapd, way: str, other_ca: str) -> None:
        """A certificate of another CA is not accepted."""
        said = await refusal(over_tls(slapd, way, ca_file=other_ca))
        why = f"it must be of a CA in {other_ca}, and for {LOOPBACK}"
        assert said == f"its TLS certificate is not accepted: {why}"
        async with opened(over_tls(slapd, way, ca_file=other_ca)) as backend:
            with pytest.raises(DirectoryError) as caught:
                await backend.find(ByLogin("alice"))
        assert not isinstance(caught.value, UnreachableError)

    async def test_wrong_host(self, tmp_path: Path, way: str) -> None:
        """A certificate for another host is not accepted."""
        require_slapd()
        with Slapd(tmp_path / "slapd", *ENTRIES, certified="127.0.0.2") as slapd:
            said = await refusal(over_tls(slapd, way))
        assert said.startswith("its TLS certificate is not accepted: ")

    async def test_system_cas(
        self, slapd: Slapd, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a CA file the CAs are those of the system, in a file or in a directory."""
        directory = over_tls(slapd, way, ca_file=None)
        assert (await refusal(directory)).endswith("of a CA in the system, and for 127.0.0.1")
        monkeypatch.setenv("SSL_CERT_FILE", str(slapd.ca_file))
        assert await logins(directory, ByLogin("alice")) == ["alice"]
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        shutil.copy(slapd.ca_file, tmp_path)
        assert await logins(directory, ByLogin("alice")) == ["alice"]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "cannot be read"),
            ("", "there is no certificate"),
            ("-----BEGIN CERTIFICATE-----\n", "begins but does not end"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
        ],
    )
    async def test_ca_file(
        self, slapd: Slapd, way: str, tmp_path: Path, content: str | None, why: str
    ) -> None:
        """A CA file that cannot be used is named."""
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        said = await refusal(over_tls(slapd, way, ca_file=str(file)))
        assert str(file) in said
        assert why in said

    def test_settings_of_libldap(self, slapd: Slapd, way: str, other_ca: str) -> None:
        """Nothing in libldap's own configuration lets another certificate pass."""
        environment = os.environ | {
            "LDAPTLS_REQCERT": "never",
            "LDAPTLS_CACERT": str(slapd.ca_file),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        directory = over_tls(slapd, way)
        arguments = [directory.url, directory.base, other_ca, way]
        command = [sys.executable, "-c", ASK, *arguments]
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert "its TLS certificate is not accepted" in run.stderr

    async def test_hung_handshake(self, way: str, other_ca: str) -> None:
        """A server that goes silent in the handshake takes the timeout, and no processor."""
        require_slapd()
        agrees = bytes.fromhex("300c02010178070a010004000400")
        scheme = "ldaps" if way == "ldaps" else "ldap"
        with listening(*([] if way == "ldaps" else [agrees])) as port:
            directory = replace(
                ANYWHERE, url=f"{scheme}://{LOOPBACK}:{port}", start_tls=way != "ldaps",
                ca_file=other_ca, timeout=timedelta(seconds=2), pool_size=2,
            )  # fmt: skip
            async with opened(directory) as backend:
                began, used = time.monotonic(), time.process_time()
                said = await asyncio.gather(*(why_not(backend) for _ in range(6)))
                assert set(said) == {"no answer within 2 s"}
            # Closed: no thread is left.
            assert time.monotonic() - began < 20
            # Two that wait in a busy loop would have used most of two seconds.
            assert time.process_time() - used < 1


class TestFailure:
    async def test_reused(self, slapd: Slapd) -> None:
        """Connections stay open for the next question, no more than the pool has, until closed."""
        # Those of earlier tests may be on their way out.
        await until_connections(slapd.port, 0)
        async with opened(at(slapd, pool_size=3)) as backend:
            for _ in range(3):
                answers = await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(20)))
                assert all(len(answer) == 1 for answer in answers)
            assert 1 <= connections_to(slapd.port) <= 3
        await until_connections(slapd.port, 0)

    async def test_restarted(self, own_slapd: Slapd) -> None:
        """A restart between two questions is not noticed by who asks."""
        async with opened(at(own_slapd)) as backend:
            await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(8)))
            own_slapd.stop()
            own_slapd.start()
            answers = await asyncio.gather(*(backend.find(ByLogin("alice")) for _ in range(8)))
            assert all(len(answer) == 1 for answer in answers)

    @pytest.mark.parametrize("way", ["ldap", "ldaps", "StartTLS"])
    async def test_killed(self, own_slapd: Slapd, way: str) -> None:
        """While the directory is down it says so, and answers again as soon as it is there."""
        directory = at(own_slapd) if way == "ldap" else over_tls(own_slapd, way)
        async with opened(directory) as backend:
            assert await backend.find(ByLogin("alice"))
            own_slapd.kill()
            for _ in range(2):
                with pytest.raises(UnreachableError, match=r"^no connection: "):
                    await backend.find(ByLogin("alice"))
            own_slapd.start()
            assert await backend.find(ByLogin("alice"))

    @pytest.mark.parametrize("way", ["ldap", "ldaps", "StartTLS"])
    async def test_hung(self, own_slapd: Slapd, way: str) -> None:
        """While the directory hangs every question ends in time, and afterwards all is well."""
        directory = at(own_slapd) if way == "ldap" else over_tls(own_slapd, way)
        async with opened(replace(directory, timeout=SHORT, pool_size=2)) as backend:
            await self.until_answers(backend)
            own_slapd.pause()
            for _ in range(2):
                began = time.monotonic()
                said = await asyncio.gather(*(why_not(backend) for _ in range(100)))
                assert set(said) == {"no answer within 0.4 s"}
                # One after the other on two connections, they would take twenty.
                assert time.monotonic() - began < 10
            own_slapd.resume()
            await self.until_answers(backend)

    async def test_half_an_answer(self) -> None:
        """An answer that stops half way ends in time too."""
        require_slapd()
        with listening(bytes.fromhex("300c02010165")) as port:
            directory = replace(ANYWHERE, url=f"ldap://{LOOPBACK}:{port}", timeout=SHORT)
            with pytest.raises(UnreachableError, match=r"^no answer within 0.4 s$"):
                await found(directory, ByLogin("alice"))

    async def test_unavailable(self) -> None:
        """A server that says so is told by the name of its code: its words may have a login."""
        require_slapd()
        says = bytes.fromhex("3011020101650c0a013404000405616c696365")
        with listening(says) as port:
            said = await refusal(replace(ANYWHERE, url=f"ldap://{LOOPBACK}:{port}"))
        assert said == "it refuses the search: server is unavailable"

    async def test_no_ldap(self) -> None:
        """A server of another protocol is no directory."""
        require_slapd()
        with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            directory = replace(ANYWHERE, url=f"ldap://{LOOPBACK}:{port}", timeout=SHORT)
            said = await refusal(directory)
            assert said.startswith(("no connection: ", "no answer within "))

    async def test_no_start_tls(self, slapd: Slapd, other_ca: str) -> None:
        """A server that does not do StartTLS is asked nothing else."""
        refuses = bytes.fromhex("300c02010178070a010204000400")
        with listening(refuses) as port:
            directory = replace(
                ANYWHERE, url=f"ldap://{LOOPBACK}:{port}", start_tls=True, ca_file=other_ca
            )
            assert await refusal(directory) == "it refuses StartTLS: protocol error"

    async def test_unknown_host(self) -> None:
        """A host name that is none is said to be no connection."""
        require_slapd()
        said = await refusal(replace(ANYWHERE, url="ldap://no.such.host.invalid", timeout=SHORT))
        assert said.startswith(("no connection: ", "no answer within "))

    async def test_abandoned(self, own_slapd: Slapd) -> None:
        """A question that nobody waits for any more holds no thread for longer than its time."""
        in_time = timedelta(seconds=2)
        async with opened(at(own_slapd, timeout=in_time, pool_size=1)) as backend:
            own_slapd.pause()
            task = asyncio.create_task(why_not(backend))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            own_slapd.resume()
            await self.until_answers(backend)

    @staticmethod
    async def until_answers(backend: LdapBackend) -> None:
        """Ask, several questions at a time, until all of them are answered."""
        async with asyncio.timeout(PATIENCE.total_seconds()):
            answers: list[object] = [None]
            while not all(isinstance(answer, tuple) and len(answer) == 1 for answer in answers):
                questions = (backend.find(ByLogin("alice")) for _ in range(4))
                answers = list(await asyncio.gather(*questions, return_exceptions=True))

    async def test_closed(self, slapd: Slapd) -> None:
        """What is closed is not asked."""
        backend = LdapBackend(at(slapd))
        await backend.close()
        assert await why_not(backend) == "the directory is not used any more"

    async def test_missing_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where python-ldap is not installed, the operator is told how it is."""
        monkeypatch.setitem(sys.modules, "ldap", None)
        ldap_connection.library.cache_clear()
        said = await refusal(ANYWHERE)
        assert said == "python-ldap is missing: pip install 'extauthz[ldap]', which needs libldap"


class TestSettings:
    @pytest.mark.parametrize(
        "changes",
        [
            {},
            {"url": "ldaps://ldap.acme.example:6360/"},
            {"url": "LDAP://[::1]:389", **BIND},
            {"url": "ldap://localhost", **BIND},
            {"url": "ldap://127.0.0.9", **BIND},
            {"url": "ldaps://[2001:db8::1]", **BIND},
            {"start_tls": True, **BIND},
            {"base": ""},
            {"filter": "(&)"},
            {"filter": "(&(cn=person)(|(a>=1)(b~=x)(!(c=*d*)))(x;lang-en:dn:2.4.6:=\\2a))"},
        ],
    )
    def test_right(self, changes: dict[str, object]) -> None:
        """Settings that can work have no problem."""
        assert problem_with(replace(ANYWHERE, **changes)) is None  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"url": "http://ldap.acme.example"}, "neither ldap:// nor ldaps://"),
            ({"url": "ldapi://%2frun%2fslapd"}, "neither ldap:// nor ldaps://"),
            ({"url": "ldap://"}, "no host"),
            ({"url": "ldap://a b"}, "no host"),
            ({"url": "ldap://a,ldap"}, "no host"),
            ({"url": "ldap://[::1"}, "cannot be read"),
            ({"url": "ldap://::1"}, ""),
            ({"url": "ldap://a:0"}, "port"),
            ({"url": "ldap://a:"}, "port"),
            ({"url": "ldap://a:65536"}, "cannot be read"),
            ({"url": "ldap://u:secret@a"}, "names a user"),
            ({"url": "ldap://a/dc=acme"}, "more than host and port"),
            ({"url": "ldap://a?"}, "more than host and port"),
            ({"url": "ldap://a/??sub"}, "more than host and port"),
            ({"url": "ldap://a#"}, "more than host and port"),
            ({"url": "ldaps://a", "start_tls": True}, "`start_tls` is for ldap://"),
            ({"login_attribute": "uid)(cn"}, "no attribute's name"),
            ({"email_attribute": ""}, "no attribute's name"),
            ({"email_attribute": "0.9.2342.19200300.100.1.3"}, "no attribute's name"),
            ({"group_attribute": "member of"}, "no attribute's name"),
            ({"disabled_attribute": "lock*"}, "no attribute's name"),
            ({"base": "acme"}, "no distinguished name"),
            ({"base": "dc=acme\n"}, "no distinguished name"),
            ({"bind_dn": "admin", "password": BIND["password"]}, "no distinguished name"),
            ({"bind_dn": BIND_DN}, "without a password"),
            ({"bind_dn": "", "password": BIND["password"]}, "`bind_dn` is empty"),
            ({"password": BIND["password"]}, "no `bind_dn`"),
            (BIND, "in the clear"),
            ({**BIND, "url": "ldap://localhost.acme.example"}, "in the clear"),
            ({"filter": ""}, "no filter"),
            ({"filter": "objectClass=*"}, "no filter"),
            ({"filter": "(objectClass=*"}, "no filter"),
            ({"filter": "(objectClass=*))"}, "no filter"),
            ({"filter": "(a=b)(c=d)"}, "no filter"),
            ({"filter": "(!(a=b)(c=d))"}, "no filter"),
            ({"filter": "(a=b)(uid=*))(|(a=b"}, "no filter"),
            ({"filter": "(a=\\zz)"}, "no filter"),
            ({"filter": "\0"}, "no filter"),
            ({"filter": "(&\0)"}, "no filter"),
        ],
    )
    def test_wrong(self, changes: dict[str, object], why: str) -> None:
        """Settings that cannot work are said to, on one line and without a secret."""
        said = problem_with(replace(ANYWHERE, **changes))  # type: ignore[arg-type]
        assert said is not None
        assert why in said
        assert said.isprintable()
        assert "secret" not in said

    async def test_not_asked(self) -> None:
        """A directory whose settings cannot work is not asked."""
        assert "no host" in await refusal(replace(ANYWHERE, url="ldap://"))

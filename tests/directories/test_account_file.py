"""Accounts in a file: found, replaced while checks go on, and kept when the file is not right."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from extauthz.accounts import Account
from extauthz.directory import file as file_module
from extauthz.directory import reader as reader_module
from extauthz.directory.backend import ACCOUNT_OCTETS
from extauthz.directory.file import FileDirectory, changed
from extauthz.directory.index import canonical
from extauthz.directory.reader import LARGE_OCTETS, Reader, _hand_over
from extauthz.directory.reading import read_into_index
from extauthz.identity import Identity, IdentityKind, parse
from extauthz.lookup import AccountFile, ByIdentity, ByLogin, Found, LookupKey, Unavailable
from extauthz.watch import watch

HEADER = "login,email,former,disabled,groups,unit,role\n"
ACME = HEADER + (
    "alice,alice@acme.example,,,,,\n"
    "alice.admin,Alice@ACME.example|admin@acme.example,,,staff|admins,,manager\n"
    "bob,bob@acme.example,alice@acme.example=2026-12-31,true,,Süd,\n"
)
ALICE = ByLogin("alice")


def identity(text: str, kind: IdentityKind = IdentityKind.EMAIL) -> Identity:
    found = parse(kind, text)
    assert found is not None
    return found


def large(prefix: str = "user") -> str:
    """A file that is read in a process of its own."""
    rows = (f"{prefix}{n},{prefix}{n}@acme.example,,,staff,Nord,\n" for n in range(20_000))
    content = ACME + "".join(rows)
    assert len(content) > LARGE_OCTETS
    return content


def put(path: Path, content: str) -> None:
    path.write_text(content)


def remove(path: Path) -> None:
    path.unlink()


def accounts(directory: FileDirectory, key: LookupKey) -> list[str]:
    """The logins that were found."""
    found = directory.known(key)
    assert isinstance(found, Found)
    return [account.login for account in found.accounts]


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accounts.csv"


@pytest.fixture
async def directory(path: Path) -> AsyncIterator[FileDirectory]:
    put(path, ACME)
    directory = FileDirectory(AccountFile(str(path)))
    await directory.load()
    yield directory
    await directory.close()


async def test_login_is_found_exactly(directory: FileDirectory) -> None:
    """Octet by octet: another case, a blank, a NUL or a lone surrogate is another login."""
    assert accounts(directory, ALICE) == ["alice"]
    for other in ("Alice", "alice ", "alic", "alice\0", "ali\udc80ce", "", "%", "alice' OR '1'='1"):
        assert accounts(directory, ByLogin(other)) == []


async def test_identity_finds_all_accounts_that_have_or_had_it(directory: FileDirectory) -> None:
    """One person may have several accounts, and a former name is looked at by its date later."""
    assert accounts(directory, ByIdentity(identity("ALICE@acme.example"))) == [
        "alice", "alice.admin", "bob",
    ]  # fmt: skip
    assert accounts(directory, ByIdentity(identity("admin@acme.example"))) == ["alice.admin"]
    assert accounts(directory, ByIdentity(identity("nobody@acme.example"))) == []


async def test_name_of_another_kind_finds_nobody(directory: FileDirectory) -> None:
    """A userPrincipalName may look like an email address, and is none."""
    upn = identity("alice@acme.example", IdentityKind.UPN)
    assert accounts(directory, ByIdentity(upn)) == []


@pytest.mark.parametrize("content", [ACME, large()], ids=["in a thread", "in a process"])
async def test_account_comes_back_whole(path: Path, content: str) -> None:
    """Whatever the file says of an account stands in the answer."""
    put(path, content)
    directory = FileDirectory(AccountFile(str(path)))
    await directory.load()
    found = directory.known(ByLogin("bob"))
    assert isinstance(found, Found)
    (bob,) = found.accounts
    assert bob == Account(
        "bob", (identity("bob@acme.example"),), former=bob.former, is_disabled=True, unit="Süd"
    )
    (former,) = bob.former
    assert former.identity == identity("alice@acme.example")
    assert former.until == datetime(2026, 12, 31, 23, 59, 59, 999999, UTC)
    admin = directory.known(ByLogin("alice.admin"))
    assert isinstance(admin, Found)
    assert admin.accounts[0].groups == {"staff", "admins"}
    assert admin.accounts[0].role == "manager"
    assert directory.accounts == content.count("\n") - 1
    await directory.close()


NAMES = [
    (IdentityKind.UPN, "Alice@ACME", "alice@acme"),
    (IdentityKind.SUBJECT, "CN=Alice  A,O=Acme", "cn=ALICE a,o=acme"),
    (IdentityKind.SUBJECT, "CN=A+OU=B,O=Acme", "OU=B+CN=A,O=Acme"),
    (IdentityKind.SAN_URI, "SPIFFE://Acme.example/a", "spiffe://acme.EXAMPLE/a"),
    (IdentityKind.EMAIL, "a@MÜLLER.example".lower(), "A@xn--mller-kva.example"),
]


@pytest.mark.parametrize(("kind", "listed", "asked"), NAMES, ids=[name[2] for name in NAMES])
async def test_equal_names_find_each_other(
    tmp_path: Path, kind: IdentityKind, listed: str, asked: str
) -> None:
    """Equality is the kind's own, and the text in the file is kept as it stands."""
    path = tmp_path / "a.yaml"
    put(path, f"alice: '{listed}'\n")
    directory = FileDirectory(AccountFile(str(path), kind))
    await directory.load()
    assert canonical(identity(listed, kind)) == canonical(identity(asked, kind))
    found = directory.known(ByIdentity(identity(asked, kind)))
    assert isinstance(found, Found)
    assert found.accounts == (Account("alice", (identity(listed, kind),)),)
    assert str(found.accounts[0].identities[0]) == str(identity(listed, kind))
    await directory.close()


@pytest.mark.parametrize(
    ("one", "other"),
    [("CN=A,O=B", "O=B,CN=A"), ("CN=A,CN=B", "CN=A+CN=B"), ("CN=a", "O=a"),
     ("CN=A\\,O\\=B", "CN=A,O=B"), ("CN=#616263", "CN=abc")],
)  # fmt: skip
def test_unequal_distinguished_names_have_other_texts(one: str, other: str) -> None:
    """The order counts, and no value can look like more than it is."""
    first, second = (parse(IdentityKind.SUBJECT, text) for text in (one, other))
    if first is not None and second is not None and first != second:
        assert canonical(first) != canonical(second)
    else:
        assert first is None or second is None or first == second


async def test_same_question_gets_the_same_answer(directory: FileDirectory, path: Path) -> None:
    """As long as the version stays; the answer that there is none, too."""
    questions: list[LookupKey] = [ALICE, ByLogin("none"), ByIdentity(identity("bob@acme.example"))]
    first = [directory.known(question) for question in questions]
    put(path, ACME + "\n")
    await directory.reload()
    put(path, ACME)
    await directory.reload()
    assert directory.readings["new"] == 3
    again = [directory.known(question) for question in questions]
    assert all(one is not other for one, other in zip(first, again, strict=True))
    assert all(directory.known(q) is answer for q, answer in zip(questions, again, strict=True))


async def test_file_with_the_same_content_changes_nothing(
    directory: FileDirectory, path: Path
) -> None:
    """Answers that are in use stay the same when a file is only copied over."""
    before = directory.known(ALICE)
    put(path.with_suffix(".new"), ACME)
    path.with_suffix(".new").replace(path)
    assert changed([directory]) == [directory]
    await directory.reload()
    assert changed([directory]) == []
    assert directory.known(ALICE) is before
    assert directory.readings == {"new": 1, "unchanged": 1, "failed": 0}
    await directory.reload()
    assert directory.readings.total() == 2


async def test_before_the_first_reading_nobody_can_say(path: Path) -> None:
    """No answer is not the answer that there is no such account."""
    directory = FileDirectory(AccountFile(str(path)))
    assert isinstance(directory.known(ALICE), Unavailable)
    await directory.load()
    answer = directory.known(ALICE)
    assert isinstance(answer, Unavailable)
    assert "cannot be read: No such file" in answer.why
    assert directory.known(ByLogin("bob")) is answer
    put(path, ACME)
    await directory.reload()
    assert directory.problem is None
    assert accounts(directory, ALICE) == ["alice"]
    await directory.close()
    assert isinstance(directory.known(ALICE), Unavailable)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (ACME.replace("bob@acme.example", "bob"), "accounts.csv:4: 'bob' is no email address"),
        (large().replace("user7@", "user7"), "accounts.csv:12: 'user7acme.example' is no email"),
        (ACME + "bob,bob@acme.example,,,,,\n", "accounts.csv:5: the login 'bob' stands twice"),
        (HEADER, "accounts.csv: the file holds no account"),
        ("", "accounts.csv: the file is empty"),
        (None, "accounts.csv: it cannot be read: No such file"),
    ],
    ids=["mistake", "mistake in a large file", "double", "only a header", "empty", "gone"],
)
async def test_last_good_version_stays(
    directory: FileDirectory, path: Path, content: str | None, why: str
) -> None:
    """A file that is not right, or not there, takes nothing away, and the operator is told."""
    before = directory.known(ALICE)
    if content is None:
        remove(path)
    else:
        put(path, content)
    await directory.reload()
    assert directory.known(ALICE) is before
    assert why in (directory.problem or "")
    assert directory.readings == {"new": 1, "unchanged": 0, "failed": 1}
    assert directory.problems

    put(path, ACME)
    await directory.reload()
    assert directory.problem is None
    assert directory.known(ALICE) is before


@pytest.mark.parametrize(("content", "count"), [
    (ACME.replace("bob@acme.example", "bob"), "1 problem in all"),
    (ACME.replace("@acme.example", ""), "4 problems in all"),
])  # fmt: skip
async def test_mistakes_are_counted_in_the_log(
    directory: FileDirectory,
    path: Path,
    caplog: pytest.LogCaptureFixture,
    content: str,
    count: str,
) -> None:
    """One mistake is one problem."""
    put(path, content)
    await directory.reload()
    assert f"{count}, the last good version stays in force" in caplog.messages[-1]


async def test_watch_takes_over_what_has_changed(directory: FileDirectory, path: Path) -> None:
    """A new file counts without a restart, small or large, and so does the next."""
    watching = asyncio.create_task(watch(lambda: directory.files, directory.reload))
    for login in ("carol", "dave"):
        put(path, f"login,email\n{login},{login}@acme.example\n")
        await until(lambda login=login: accounts(directory, ByLogin(login)) == [login])  # type: ignore[misc]
        assert accounts(directory, ALICE) == []
    put(path, large())
    await until(lambda: accounts(directory, ByLogin("user19999")) == ["user19999"])
    watching.cancel()


async def test_checks_are_answered_from_the_old_version_meanwhile(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large file is read elsewhere; until it is there, what was read before counts."""
    monkeypatch.setattr(reader_module, "_hand_over", _hand_over_when_told)
    put(path, large())
    reloading = asyncio.create_task(directory.reload())
    for _ in range(20):
        assert accounts(directory, ALICE) == ["alice"]
        assert directory.accounts == 3
        await asyncio.sleep(0.01)
    assert not reloading.done()
    path.with_suffix(".go").touch()
    await reloading
    assert accounts(directory, ByLogin("user0")) == ["user0"]


async def test_process_that_dies_is_a_problem_and_not_the_end(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out for large files; what was read stays, and the next reading may go well."""
    put(path, large())
    with monkeypatch.context() as patched:
        patched.setattr(reader_module, "_hand_over", _die)
        await directory.reload()
    assert "the process that read it died" in (directory.problem or "")
    assert accounts(directory, ALICE) == ["alice"]
    await directory.load()
    assert directory.problem is None
    assert accounts(directory, ByLogin("user0")) == ["user0"]


async def test_reading_that_hangs_is_given_up(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that does not answer must not keep other large files from being read."""
    monkeypatch.setattr(reader_module, "_hand_over", _hang)
    monkeypatch.setattr(reader_module, "READ_SECONDS", 0.1)
    put(path, large())
    await directory.reload()
    assert "reading takes longer than" in (directory.problem or "")
    assert accounts(directory, ALICE) == ["alice"]


async def test_bug_in_reading_takes_nothing_away(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong, the last good version stays and the file is watched on."""

    def fail(*_: object, **__: object) -> None:
        raise RecursionError

    monkeypatch.setattr(reader_module, "read_into_index", fail)
    put(path, ACME + "\n")
    await directory.reload()
    assert "extauthz failed to read it: RecursionError" in (directory.problem or "")
    assert accounts(directory, ALICE) == ["alice"]


async def test_file_that_changes_while_it_is_read_is_read_again(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a file may well be without a mistake, and is not taken for the whole."""
    put(path, HEADER + "carol,carol@acme.example,,,,,\n")
    versions: list[int] = []

    def read_and_change(*arguments: object, **settings: object) -> object:
        outcome = read_into_index(*arguments, **settings)  # type: ignore[arg-type]
        versions.append(directory.accounts)
        if len(versions) == 1:
            put(path, HEADER + "dave,dave@acme.example,,,,,\n")
        return outcome

    monkeypatch.setattr(reader_module, "read_into_index", read_and_change)
    await directory.reload()
    assert versions == [3, 3]
    assert accounts(directory, ByLogin("dave")) == ["dave"]
    assert accounts(directory, ByLogin("carol")) == []
    assert directory.readings["new"] == 2


async def test_reading_goes_on_when_the_one_who_waits_gives_up(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy does not wait for ever for a large file; it counts as soon as it is read."""
    monkeypatch.setattr(reader_module, "_hand_over", _hand_over_when_told)
    put(path, large())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(directory.load(), 0.01)
    path.with_suffix(".go").touch()
    await until(lambda: directory.readings["new"] == 2)
    assert accounts(directory, ByLogin("user0")) == ["user0"]


async def test_many_directories_share_a_reader(tmp_path: Path) -> None:
    """One reader serves any number of files, and a bad one harms no other."""
    reader = Reader()
    directories = []
    for number in range(50):
        path = tmp_path / f"{number}.csv"
        put(path, "garbage" if number == 7 else ACME)
        directories.append(FileDirectory(AccountFile(str(path)), reader))
    await asyncio.gather(*(directory.load() for directory in directories))
    assert [n for n, each in enumerate(directories) if each.problem is not None] == [7]
    assert all(len(each.files) == 1 for each in directories)
    for directory in directories:
        await directory.close()
    reader.close()


async def test_close_ends_the_process_that_reads(
    directory: FileDirectory, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the server stays behind."""
    pid = path.with_suffix(".pid")
    monkeypatch.setattr(reader_module, "_hand_over", _tell_and_hang)
    put(path, large())
    reloading = asyncio.create_task(directory.reload())
    await until(lambda: pid.exists() and pid.read_text() != "")
    await directory.close()
    with pytest.raises(asyncio.CancelledError):
        await reloading
    await until(lambda: not _is_alive(int(pid.read_text())))


async def test_answers_are_bounded(directory: FileDirectory, monkeypatch: pytest.MonkeyPatch,
                                   path: Path) -> None:  # fmt: skip
    """Whoever asks for everybody takes no more memory than was meant for answers."""
    monkeypatch.setattr(file_module, "MAX_CACHE", 100 * ACCOUNT_OCTETS)
    put(path, large())
    await directory.reload()
    first = directory.known(ByLogin("user0"))
    for number in range(1, 300):
        directory.known(ByLogin(f"user{number}"))
    assert directory.known(ByLogin("user0")) is not first
    assert accounts(directory, ByLogin("user0")) == ["user0"]


def _die(*_: object) -> None:
    os._exit(9)


def _hang(*_: object) -> None:
    time.sleep(60)


def _hand_over_when_told(
    connection: Connection, path: Path, kind: IdentityKind, known: bytes, parent: int
) -> None:
    while not path.with_suffix(".go").exists():
        time.sleep(0.01)
    _hand_over(connection, path, kind, known, parent)


def _tell_and_hang(_: object, path: Path, *__: object) -> None:
    path.with_suffix(".pid").write_text(str(os.getpid()))
    time.sleep(60)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True

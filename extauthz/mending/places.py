"""Where the accounts of a subscription are kept: in the policy file, or in a file of their own.

Each kind of place is read and edited in its own way, and read again to see whether an edit came
out as intended. Accounts in a database, an LDAP directory or a service are mended there.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, Self

from extauthz.accounts import Account, Accounts
from extauthz.directory import reading
from extauthz.files import FileProblemError, Stamp, read_text, stamp
from extauthz.identity import IdentityKind
from extauthz.lookup import AccountFile, HttpDirectory, LdapDirectory, SqlDirectory
from extauthz.mending import edit_lines, edit_yaml
from extauthz.mending.edit import Edit
from extauthz.mending.outcome import FailedError
from extauthz.mending.yaml_text import outline
from extauthz.policy import Policy
from extauthz.policyfile.loader import MAX_POLICY_OCTETS, load
from extauthz.policyfile.problems import Severity
from extauthz.quoting import quoted

__all__ = ["Book", "Place", "find"]


@dataclass(frozen=True, slots=True)
class Book:
    """The accounts of a place, at one time."""

    text: str
    """The file, whole."""
    accounts: Mapping[str, Account]
    """By login, in the order of the file."""
    stamp: Stamp
    """Of the file, before it was read."""
    rest: tuple[object, ...] = ()
    """What else the file says; equal when it says the same."""


class Place(Protocol):
    """A file with the accounts of a subscription."""

    kind: IdentityKind
    """Which name in certificates it gives."""
    file: Path
    """The file that is edited: no symbolic link."""
    ending: str
    """What the name ends with under which it is read."""

    def read(self) -> Book:
        """The accounts as they are now. Raises FailedError."""

    def edited(self, book: Book, edit: Edit) -> str:
        """The text of the file with an edit made. Raises RefusedError."""

    def read_again(self, written: Path) -> Book:
        """What would be read were this file in place of the one that is edited."""


def find(path: Path, subscription: str) -> Place:
    """Where the accounts of a subscription of a policy are. Raises FailedError."""
    read = _Read.now(path)
    found = read.policy.subscriptions.get(subscription)
    if found is None:
        raise FailedError(f"{path} has no subscription {quoted(subscription)}")
    match found.accounts:
        case Accounts():
            return _PolicyAccounts(path, subscription, found.identity, read)
        case AccountFile() as file:
            return _FileAccounts(file)
        case elsewhere:
            raise FailedError(f"the accounts of {quoted(subscription)} {_live(elsewhere)}")


def _live(directory: SqlDirectory | LdapDirectory | HttpDirectory) -> str:
    match directory:
        case SqlDirectory(url=url):
            return f"live in the database {quoted(url)}: change them there"
        case LdapDirectory(url=url, base=base):
            return (
                f"live in the LDAP directory {quoted(url)} below {quoted(base)}: change them there"
            )
        case HttpDirectory(url=url):
            return f"are those of the service at {quoted(url)}: change them there"


@dataclass(frozen=True, slots=True)
class _Read:
    """A policy that was read."""

    policy: Policy
    files: Mapping[Path, Stamp]

    @classmethod
    def now(cls, path: Path, named: Path | None = None) -> Self:
        """Read a policy; `named` is what it is called in messages. Raises FailedError."""
        loaded = load(path, datetime.now(UTC))
        if loaded.policy is None:
            errors = [each for each in loaded.problems if each.severity is Severity.ERROR]
            first = str(errors[0]).replace(str(path), str(named or path))
            raise FailedError(f"the policy has errors, see `extauthz validate`: {first}")
        return cls(loaded.policy, loaded.files)

    @property
    def is_current(self) -> bool:
        """Whether reading again would bring nothing new."""
        return all(stamp(file) == before for file, before in self.files.items())


class _PolicyAccounts:
    """Accounts that are a mapping in the policy file."""

    def __init__(self, path: Path, subscription: str, kind: IdentityKind, read: _Read) -> None:
        self.kind = kind
        self.file = path.resolve()
        self.ending = path.suffix
        self._path = path
        self._read = read
        self._keys = ("subscriptions", subscription, "accounts")

    def read(self) -> Book:
        if not self._read.is_current:
            self._read = _Read.now(self._path)
        return self._book(self._path, self._read)

    def edited(self, book: Book, edit: Edit) -> str:
        return edit_yaml.edited(book.text, self._keys, edit)

    def read_again(self, written: Path) -> Book:
        with self._as_if_named(written) as path:
            return self._book(path, _Read.now(path, self._path))

    def _book(self, path: Path, read: _Read) -> Book:
        text = _text(path, MAX_POLICY_OCTETS)
        if stamp(path) != read.files[path]:
            raise FailedError(f"{self._path} changes while it is read: try again")
        subscription = read.policy.subscriptions.get(self._keys[1])
        accounts = None if subscription is None else subscription.accounts
        if not isinstance(accounts, Accounts):
            raise FailedError(f"{self._path} has changed meanwhile: try again")
        logins, rest = outline(text, self._keys)
        named = ((login, accounts.named(login)) for login in logins)
        found = {login: account for login, account in named if account is not None}
        return Book(text, found, read.files[path], rest)

    @contextmanager
    def _as_if_named(self, written: Path) -> Iterator[Path]:
        """A path for a file at which the relative paths in it lead where the policy's do."""
        path = self._path.with_name(written.name)
        if path.resolve() == written:
            yield path
            return
        try:
            path.unlink(missing_ok=True)
            path.symlink_to(written)
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)


class _FileAccounts:
    """Accounts in a file of their own."""

    def __init__(self, settings: AccountFile) -> None:
        self.kind = settings.kind
        self._path = Path(settings.path)
        self.file = self._path.resolve()
        self.ending = self._path.suffix
        self._edited = _EDITORS.get(self.ending.lower(), _edited_yaml)

    def read(self) -> Book:
        return self._book(self._path)

    def edited(self, book: Book, edit: Edit) -> str:
        return self._edited(book.text, edit)

    def read_again(self, written: Path) -> Book:
        if (why := reading.read(written, self.kind).why(written)) is not None:
            raise FailedError(why.replace(str(written), str(self._path)))
        return self._book(written)

    def _book(self, path: Path) -> Book:
        before = stamp(path)
        accounts: dict[str, Account] = {}
        try:
            for entry in reading.entries(path, self.kind):
                login = entry.account.login
                if login in accounts:
                    raise FailedError(f"{self._path}: the login {quoted(login)} stands twice")
                accounts[login] = entry.account
        except reading.AccountFileError as error:
            raise FailedError(str(error).replace(str(path), str(self._path))) from error
        text = _text(path, reading.MAX_OCTETS)
        if stamp(path) != before:
            raise FailedError(f"{self._path} changes while it is read: try again")
        return Book(text, accounts, before)


def _edited_yaml(text: str, edit: Edit) -> str:
    return edit_yaml.edited(text, (), edit)


_EDITORS: Mapping[str, Callable[[str, Edit], str]] = {
    ".csv": edit_lines.edited_csv,
    ".jsonl": edit_lines.edited_json_lines,
    ".ndjson": edit_lines.edited_json_lines,
}


def _text(path: Path, limit: int) -> str:
    try:
        return read_text(path, limit)
    except FileProblemError as error:
        raise FailedError(f"{path} {error}") from error

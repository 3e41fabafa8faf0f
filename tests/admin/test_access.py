"""Who may see the admin pages: the rules, the token, the logins."""

from ipaddress import ip_address, ip_network

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from extauthz.admin.access import Address, Rules, is_from_another_site, same_origin
from extauthz.admin.tokens import (
    FAILURE_SECONDS,
    LOGIN_SECONDS,
    MAX_ADDRESSES,
    MAX_FAILURES,
    MAX_LOGINS,
    Token,
    TokenError,
)

LOOPBACK, FAR, PROXY, UNIX = "127.0.0.1", "203.0.113.9", "10.0.0.7", ""
WORD = "correct-horse-battery-staple"
RULES = Rules(
    frozenset({"admin.example.com"}), (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))
)

IN, OUT, NAME = "in", "closed", "wrong host"


@pytest.mark.parametrize(
    ("address", "host", "has_token", "is_known", "expected"),
    [
        # Without a token: this machine, by its own names.
        (LOOPBACK, "localhost:9001", False, False, IN),
        (LOOPBACK, "127.0.0.1:9001", False, False, IN),
        (LOOPBACK, "[::1]:9001", False, False, IN),
        (LOOPBACK, "LOCALHOST", False, False, IN),
        ("::1", "localhost", False, False, IN),
        ("127.9.9.9", "localhost", False, False, IN),
        ("::ffff:127.0.0.1", "localhost", False, False, IN),
        (LOOPBACK, "admin.example.com:9001", False, False, IN),
        # By any other name it is DNS rebinding.
        (LOOPBACK, "attacker.example", False, False, NAME),
        (LOOPBACK, "localhost.attacker.example", False, False, NAME),
        (LOOPBACK, "localhost:9001@attacker.example", False, False, NAME),
        (LOOPBACK, "127.0.0.1.attacker.example", False, False, NAME),
        (LOOPBACK, "localhost.", False, False, NAME),
        (LOOPBACK, "127.0.0.2", False, False, NAME),
        (LOOPBACK, "", False, False, NAME),
        (LOOPBACK, "localhost:", False, False, NAME),
        (LOOPBACK, None, False, False, NAME),
        # A Unix socket has a file mode.
        (UNIX, "localhost", False, False, IN),
        (UNIX, "localhost", True, False, IN),
        (UNIX, "admin.example.com", True, False, IN),
        (UNIX, "acme.example.com", False, False, NAME),
        (UNIX, "acme.example.com", True, True, IN),
        # From elsewhere: nobody, but for the proxy.
        (FAR, "localhost", False, False, OUT),
        (FAR, "admin.example.com", False, False, OUT),
        ("::ffff:203.0.113.9", "localhost", False, False, OUT),
        (PROXY, "admin.example.com", False, False, IN),
        ("::ffff:10.0.0.7", "admin.example.com", False, False, IN),
        ("fd00::5", "admin.example.com", False, False, IN),
        (PROXY, "attacker.example", False, False, NAME),
        ("10.0.1.7", "admin.example.com", False, False, OUT),
        # With a token: who shows it, from anywhere and by any name.
        (FAR, "10.1.2.3:9001", True, True, IN),
        (LOOPBACK, "attacker.example", True, True, IN),
        (FAR, "localhost", True, False, OUT),
        (LOOPBACK, "localhost", True, False, OUT),
        (PROXY, "admin.example.com", True, False, IN),
    ],
)  # fmt: skip
def test_who_may_see_the_pages(
    address: str,
    host: str | None,
    has_token: bool,  # noqa: FBT001
    is_known: bool,  # noqa: FBT001
    expected: str,
) -> None:
    """The rules as a table."""
    closed = RULES.closed_to(
        _address(address), [] if host is None else [host], has_token=has_token, is_known=is_known
    )

    found = IN if closed is None else NAME if "Host field" in closed.why else OUT
    assert found == expected


def test_two_host_fields_are_none_of_ours() -> None:
    """Two readers could take either."""
    closed = RULES.closed_to(
        ip_address(LOOPBACK), ["localhost", "localhost"], has_token=False, is_known=False
    )
    assert closed is not None


def test_who_is_not_let_in_is_told_how_it_is_set_up() -> None:
    """By the options' names, and the address that was seen."""
    closed = RULES.closed_to(ip_address(FAR), ["x"], has_token=False, is_known=False)
    assert closed is not None
    for text in (FAR, "--admin-token-file", "--admin-from", "--admin-host"):
        assert text in closed.why


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], True),
        ([("Sec-Fetch-Site", "same-origin")], True),
        ([("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], True),
        ([("Sec-Fetch-Site", "cross-site")], False),
        ([("Sec-Fetch-Site", "same-site"), ("Origin", "http://localhost:9001")], False),
        ([("Sec-Fetch-Site", "none")], False),
        ([("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")], False),
        ([("Origin", "http://localhost:9001")], True),
        ([("Origin", "https://localhost:9001")], True),
        ([("Origin", "http://localhost:9002")], False),
        ([("Origin", "http://attacker.example")], False),
        ([("Origin", "null")], False),
        ([("Origin", "ftp://localhost:9001")], False),
        ([("Origin", "http://localhost:9001"), ("Origin", "http://attacker.example")], False),
    ],
    ids=str,
)
def test_a_form_is_taken_from_our_own_pages_alone(
    fields: list[tuple[str, str]],
    expected: bool,  # noqa: FBT001
) -> None:
    """By what browsers say of where it comes from."""
    headers = CIMultiDictProxy(CIMultiDict([("Host", "localhost:9001"), *fields]))
    assert same_origin(headers) == expected


@pytest.mark.parametrize(
    ("site", "mode", "expected"),
    [
        (None, None, False),
        ("none", "navigate", False),
        ("same-origin", "no-cors", False),
        ("cross-site", "navigate", False),
        ("cross-site", "no-cors", True),
        ("same-site", "cors", True),
        ("cross-site", None, True),
    ],
)
def test_no_other_site_makes_a_page_a_part_of_itself(
    site: str | None,
    mode: str | None,
    expected: bool,  # noqa: FBT001
) -> None:
    """A link from a chat is fine; an image, a script or a fetch is not."""
    given = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    headers = {name: value for name, value in given.items() if value is not None}
    assert is_from_another_site(headers) == expected


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class TestToken:
    """The token, and who fails to show it."""

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "short",
            "x" * 19,
            "x" * 5000,
            "with a blank in the middle",
            "ümlaut-ümlaut-ümlaut",
            "line\nfeed-line-feed-line",
        ],
    )
    def test_what_cannot_be_one_is_refused_without_being_repeated(self, text: str) -> None:
        """When the server starts."""
        with pytest.raises(TokenError) as error:
            Token(text)
        assert not text or text not in str(error.value)

    def test_nothing_else_is_the_token(self) -> None:
        """Not a part, not another case, not a surrogate."""
        token = Token(WORD)
        assert token.is_shown(WORD, None)
        for number, wrong in enumerate(("", WORD[:-1], WORD.upper(), WORD + " ", "\udc80")):
            assert not token.is_shown(wrong, ip_address(f"192.0.2.{number}"))

    def test_failing_again_and_again_is_not_listened_to(self) -> None:
        """For a while, from that address; the right token neither, else it could be found out."""
        clock = Clock()
        token = Token(WORD, clock)
        address, other = ip_address(FAR), ip_address("203.0.113.10")
        for _ in range(MAX_FAILURES):
            assert token.pause(address) == 0
            assert not token.is_shown("wrong", address)

        assert 0 < token.pause(address) <= FAILURE_SECONDS
        assert not token.is_shown(WORD, address)
        assert token.is_shown(WORD, other)
        clock.now += FAILURE_SECONDS
        assert token.pause(address) == 0
        assert token.is_shown(WORD, address)

    def test_addresses_of_one_network_count_as_one(self) -> None:
        """Whoever has one of IPv6 has the others of its /64; IPv4 may come as IPv6."""
        token = Token(WORD)
        for number in range(MAX_FAILURES):
            token.is_shown("wrong", ip_address(f"2001:db8::{number:x}"))
            token.is_shown("wrong", ip_address(("192.0.2.1", "::ffff:192.0.2.1")[number % 2]))
        assert token.pause(ip_address("2001:db8::ffff")) > 0
        assert token.pause(ip_address("2001:db8:0:1::")) == 0
        assert token.pause(ip_address("192.0.2.1")) > 0

    def test_addresses_that_are_remembered_are_bounded(self) -> None:
        """Beyond that, strangers are taken for one, and have to wait for each other."""
        clock = Clock()
        token = Token(WORD, clock)
        for number in range(MAX_ADDRESSES + MAX_FAILURES):
            token.is_shown("wrong", ip_address(0x0A000000 + number))
        assert token.remembered <= MAX_ADDRESSES + 1
        assert token.pause(ip_address("172.16.0.1")) > 0
        clock.now += FAILURE_SECONDS
        token.is_shown("wrong", ip_address("172.16.0.1"))
        assert token.remembered == 1

    def test_a_login_lasts_until_it_ends(self) -> None:
        """By time, or by logging out; its value is not the token's."""
        clock = Clock()
        token = Token(WORD, clock)
        first, second = token.log_in(), token.log_in()
        assert first != second
        assert WORD not in first
        assert token.is_login(first)
        assert not token.is_login(WORD)
        token.log_out(first)
        assert not token.is_login(first)
        assert token.is_login(second)
        clock.now += LOGIN_SECONDS
        assert not token.is_login(second)

    def test_logins_are_bounded(self) -> None:
        """The oldest make room."""
        token = Token(WORD)
        logins = [token.log_in() for _ in range(MAX_LOGINS + 1)]
        assert not token.is_login(logins[0])
        assert token.is_login(logins[1])
        assert token.is_login(logins[-1])


def _address(text: str) -> Address | None:
    return ip_address(text) if text else None

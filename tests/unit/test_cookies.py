"""A session is one session, however its cookie is written; other cookies do not matter."""

import re
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.findings import Finding, Reason
from extauthz.wire.cookies import MAX_LENGTH, MAX_VALUES, session_values

STOLEN = "4f+s/Nab-c_d=="


def values(*fields: str, name: str = "sid") -> tuple[bytes, ...] | None:
    found = session_values(fields, name)
    if isinstance(found, Finding):
        assert found.reason is Reason.LOGIN_MALFORMED
        assert STOLEN not in found.detail
        return None
    return found


@pytest.mark.parametrize("field", [
    # Around it.
    f"sid={STOLEN}", f"sid={STOLEN} ", f"sid= {STOLEN}", f"sid=\t{STOLEN}\t;", f"a=b;sid={STOLEN}",
    f"a=b;;  sid={STOLEN};c", f'sid="{STOLEN}"', f'$Version=1; sid="{STOLEN}"; $Path=/',
    # PHP, Rails and Express decode: escapes, in either case, of anything, more than once.
    f"sid={quote(STOLEN, safe='')}", f"sid={quote(STOLEN, safe='').lower()}",
    "sid=" + "".join(f"%{octet:02x}" for octet in STOLEN.encode()),
    f"sid={quote(quote(STOLEN, safe=''))}", "sid=%u0034f+s/Nab-c_d==", f"sid=%22{STOLEN}%22",
    'sid="%34f+s/Nab-c_d=="', f"sid={STOLEN}%20",
    # A plus is a space for forms, and base64 has two alphabets, with padding and without.
    "sid=4f%20s/Nab-c_d==", "sid=4f-s_Nab-c_d==", "sid=4f+s/Nab+c/d==", "sid=4f+s/Nab-c_d",
    "sid=4f+s/Nab-c_d=", "sid=4f+s/Nab-c_d%3D",
    # MySQL compares without case, and so does a directory of sessions on Windows.
    "sid=4F+S/nAB-C_D==",
    # The same one again.
    f"sid={STOLEN}; sid={STOLEN}", f'sid="{STOLEN}"; sid=%34f+s/Nab-c_d==', f"sid=; sid={STOLEN}",
])  # fmt: skip
def test_spellings_of_a_session_are_one_value(field: str) -> None:
    """Whoever stole it cannot make it look like a new one."""
    assert values(field) == values(f"sid={STOLEN}")
    assert values(field) not in ((), None)


@pytest.mark.parametrize("fields", [
    # A name that is the session's for some: case, PHP's underscores, escapes, lists, NUL.
    [f"SID={STOLEN}"], ["sid=mine", f"Sid={STOLEN}"], [f"sid=mine; s%69d={STOLEN}"],
    [f"s%2569d={STOLEN}"], [f"s%u0069d={STOLEN}"], [f"sid[]={STOLEN}"], [f"sid[x]={STOLEN}"],
    [f"sid%00={STOLEN}"], [f"sid%00{'x' * 200}={STOLEN}"], [f"sid[{'x' * 200}={STOLEN}"],
    [f"sid%5B%5D={STOLEN}"], [f"%73%69%64={STOLEN}"], [f"\u017fid={STOLEN}"],
    # Space before the equals sign, and other white space before the name.
    [f"sid ={STOLEN}"], [f"sid\t= {STOLEN}"], [f"a=b;\x0bsid={STOLEN}"], [f"a=b;\xa0sid={STOLEN}"],
    # Separators of other readers: RFC 2109, http.cookies, quotes, an empty name.
    [f"sid=mine, sid={STOLEN}"], [f"a=b,sid={STOLEN}"], [f"a=b sid={STOLEN}"],
    [f'a="b"sid={STOLEN}'], [f"=sid={STOLEN}"], [f"a=b; ==sid={STOLEN}"], [f'a="b sid={STOLEN}"'],
    # Values that end elsewhere for some.
    [f'sid="{STOLEN}'], [f'sid={STOLEN}"'], [f'sid=""{STOLEN}""'], [f'sid="{STOLEN}"x'],
    ['sid="4f\\163"'], ['sid="a\\"b"'], ["sid=a\\b"], ["sid=a b"], ["sid=a,b"], ['sid="a;b"'],
    ['sid="a b"'], ['a="x; sid=stolen"'], ["sid=é"], ["sid=\udcff"], ["sid=a\x00b"], ["sid=a\x7f"],
    ["sid=a%00b"], ["sid=a%0a"], ["sid=a%7F"], ["sid=%u000a"],
    # Too much.
    ["sid=" + "a" * (MAX_LENGTH + 1)], ["; ".join(f"sid={n}" for n in range(MAX_VALUES + 1))],
    ["sid=x"] * (MAX_VALUES + 1),
])  # fmt: skip
def test_session_that_only_some_readers_find_is_refused(fields: list[str]) -> None:
    """It may be the stolen one that the service reads."""
    assert values(*fields) is None


@pytest.mark.parametrize("field", [
    "", ";", "a", "sid", "sid;", "sid=", 'sid=""', "sid=%20", "sidx=1", "xsid=1", "a=sid", "si=d",
    'theme="sid"', "a=b sid c", '{"sid": "x"}', "a=/?sid=5", "a=sid=5", "a[sid]=x", "=", "=x",
    "_sid=x", "sid_=x", "sid.x=y", "s-id=x", "\x00\x01\udcff=\"'\\", "%=%zz", 'a="b', "[=x", "é=ü",
    "__Host-sid=x", "s%69dx=y", "a" * 60_000, "%73" * 20_000 + "=x", "[" * 1000,
])  # fmt: skip
def test_other_cookies_do_not_matter(field: str) -> None:
    """Browsers send whatever any page of the domain has set."""
    assert values(field) == ()
    assert values(field, "sid=mine") == values("sid=mine")


def test_all_sessions_are_returned_in_their_order() -> None:
    """Which of them the service takes is not known."""
    fields = ["a=b; sid=one; sid=two", "sid=THREE", "sid=one"]
    assert values(*fields) == (b"one", b"two", b"three")


@pytest.mark.parametrize(("name", "field", "expected"), [
    ("PHPSESSID", "PHPSESSID=abc; phpsessid=x", None),
    ("my_session", "my_session=abc", (b"abc",)),
    ("my_session", "my session=abc", None), ("my_session", "my.session=abc", None),
    ("my_session", "my[session=abc", None), ("my_session", "my%20session=abc", None),
    ("my.session", "my.session=a; my_session=b", None),
    ("connect.sid", "connect.sid=s%3Aabc.def%2F", (b"s:abc.def/",)),
    ("__Host-id", "__Host-id=a; id=b", (b"a",)), ("__Host-id", "__%48ost-id=b", None),
])  # fmt: skip
def test_names_of_cookies_are_as_services_write_them(
    name: str, field: str, expected: tuple[bytes, ...] | None
) -> None:
    """CVE-2020-7070 and CVE-2022-31629 (PHP): other names that become this one."""
    assert values(field, name=name) == expected


VALUE = st.text("abcdefghijklmnopqrstuvwxyz0123456789!#$&'()*/:<>?@[]^`{|}~.", min_size=1)


@given(VALUE, st.data())
def test_any_escapes_of_a_value_are_the_same_session(value: str, data: st.DataObject) -> None:
    """Which characters are escaped, and how often, does not matter."""
    spelling = "".join(
        data.draw(st.sampled_from([char, f"%{ord(char):02x}", f"%{ord(char):02X}",
                                   f"%25{ord(char):02x}", char.upper()]))
        for char in value
    )  # fmt: skip
    assert values(f"sid={spelling}") == (value.encode(),)


@given(st.lists(VALUE, unique=True, min_size=2, max_size=2))
def test_different_sessions_stay_different(sessions: list[str]) -> None:
    """What is random differs in more than its spelling."""
    assert values(f"sid={sessions[0]}") != values(f"sid={sessions[1]}")


def _readers(field: str) -> Iterator[str]:
    """What services read as the session: PHP, Django, http.cookies, RFC 2109."""
    for separators in (";", "[;,]"):
        for pair in re.split(separators, field):
            key, equals, value = pair.partition("=")
            if equals and key.strip() == "sid":
                yield value.strip()
            if equals and unquote(key.strip()).replace(".", "_") == "sid":
                yield unquote(value)
    try:
        read = SimpleCookie(field)
    except CookieError:
        return
    if "sid" in read:
        yield read["sid"].value


PIECES = st.lists(st.sampled_from([
    "sid", "sid=", "=", ";", "; ", ",", " ", '"', "\\", "\\163", "%73", "%", "SID", "a", "mine",
    "stolen", "s", "id", "$Version=1", "\t", "[", "]", "%00", "\udcff",
])).map("".join)  # fmt: skip


@given(PIECES)
def test_no_reader_finds_another_session(field: str) -> None:
    """What is not refused has every session that somebody could read."""
    found = values(field)
    if found is None:
        return
    for read in _readers(field):
        canonical = values(f"sid={quote(read, safe='')}")
        assert canonical is None or set(canonical) <= set(found)


@given(st.lists(st.text(max_size=40), max_size=3), st.text("abcXYZ_.-", min_size=1, max_size=10))
def test_any_fields_are_read_without_error(fields: list[str], name: str) -> None:
    """Values or a finding."""
    values(*fields, name=name)

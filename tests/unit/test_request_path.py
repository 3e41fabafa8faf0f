"""A path excuses nobody by a second reading, and hides no login by any spelling."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz import percent
from extauthz.request_path import MAX_LENGTH, PathPattern, exact, loose, readings

UNRESERVED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"


@pytest.mark.parametrize(("path", "normal"), [
    ("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("/A/b", "/A/b"), ("/a.b/.c/d.", "/a.b/.c/d."),
    ("/%61%2Db%7e", "/a-b~"), ("/a%20b", "/a%20b"), ("/a%3ab", "/a%3Ab"),
    ("/m%c3%bcller", "/m%C3%BCller"), ("/%E0%A4%B9%E0%A4%BF", "/%E0%A4%B9%E0%A4%BF"),
    ("/a,b@c:d=e&f", "/a,b@c:d=e&f"), ("/x%2E%61", "/x.a"),
])  # fmt: skip
def test_path_with_one_reading_has_a_normal_form(path: str, normal: str) -> None:
    """RFC 3986 6.2.2."""
    assert exact(path) == normal


@pytest.mark.parametrize("path", [
    # No path, or none for some: CVE-2026-73553 (Envoy), GHSA-9f29-v6mm-pw6w (opa-envoy-plugin).
    "", "*", "a", "http://a/hooks", "//evil.example/hooks", "/hooks//x", "//", "/?", "/a?b", "/a#b",
    # CVE-2021-39156, CVE-2021-31920 (Istio): fragments, escaped and other slashes.
    "/admin%23/hooks", "/admin%2Fx", "/admin%2fx", "/admin%5cx", "/admin\\x", "/hooks/x%3Fy",
    # CVE-2021-31920 (Istio) and any servlet container: parameters.
    "/admin;/hooks", "/hooks/..;/admin", "/hooks/%3Bx", "/hooks;x=y",
    # Dot segments: services that do not resolve them have routed by what stands before.
    "/admin/../hooks", "/hooks/./x", "/hooks/..", "/hooks/.", "/hooks/%2e%2e/admin",
    "/hooks/.%2E/admin", "/hooks/%2e/x", "/hooks/.../x", "/hooks/..%20/admin", "/hooks/%20../x",
    "/hooks/.%20./x", "/hooks/%20/x",
    # Escapes that are none, and those that are two.
    "/%", "/%4", "/%zz", "/%u0041", "/%2541", "/%252e%252e/x", "/hooks/%25",
    # Overlong and other octets that are no UTF-8, and what code pages make slashes and dots of.
    "/%c0%af", "/%c0%ae%c0%ae/", "/%e0%80%af", "/%ff", "/\udcff", "/é", "/%ef%bc%8f", "/%ef%bc%8e",
    "/%e2%88%95", "/%e2%81%84", "/%c2%a5", "/%e2%80%8b", "/%ef%bb%bf", "/%ed%a0%80",
    # Control characters: CVE-2025-66220 (Envoy) for a NUL.
    "/hooks%00", "/\0", "/%0a", "/%0D%0A", "/%09", "/%7f", "/a b", "/\t", "/\n", "/a\n",
    '/"', "/<", "/>", "/[", "/]", "/^", "/`", "/{", "/|", "/}",
])  # fmt: skip
def test_path_with_two_readings_has_no_normal_form(path: str) -> None:
    """None matches nothing, so such a path is never exempt."""
    assert exact(path) is None


@pytest.mark.parametrize("path", [
    "/login", "/Login", "/LOGIN/", "/login//", "//login", "///login", "/./login", "/x/../login",
    "/login/.", "/login/x/..", "/../login", "/%6cogin", "/%6Cogin", "/%256cogin", "/%25256cogin",
    "/%%36cogin", "/%2%35%36cogin", "/%u006cogin", "/%U006Cogin", "/log%in", "/login%",
    "/login;", "/login;x=y", "/login;jsessionid=1;b", "/x/..;a/login", "/login;a/.", "/login%3bx",
    "/login%2f", "/login%2F.", "/x%2f..%2flogin", "/x%252f..%252flogin", "/%2e%2e/login",
    "\\login", "/x\\..\\login", "/login%5c", "/%5clogin", "/login%20", "/login.", "/login...",
    "/login%20.%20", "/login%00", "/login%00.png", "/login%0a", "/login%09", "/lo%0dgin",
    "/ｌｏｇｉｎ", "/%ef%bd%8cogin", "/l%ef%bc%8fx/../../login", "/log\u0131n/../login",
    "/login%ef%bc%9bx", "login",
])  # fmt: skip
def test_spellings_of_a_path_are_one_path(path: str) -> None:
    """What some service takes for `/login` is a login."""
    assert loose(path) == "/login"
    assert "/login" in (readings(path) or ())


@pytest.mark.parametrize("path", [
    # Servlet containers cut parameters before they decode.
    "/login;a%2fb", "/login;%2f..%2fx",
    # Whoever resolves before decoding, or does not decode slashes, goes up from one segment.
    "/a%2fb/../login", "/a%252fb/../login", "/a\\b/../login", "/a%5cb/../login",
    # RFC 3986 5.2.4 takes away an empty segment.
    "/login//..", "/login/%2f..", "/login/..;x/..",
    # A NUL is an octet like others for many.
    "/x%00/../login", "/x%00/%2e%2e/login",
])  # fmt: skip
def test_path_is_a_login_for_whoever_reads_in_another_order(path: str) -> None:
    """One form cannot hold all readings: these paths have more than one."""
    assert loose(path) != "/login"
    assert "/login" in (readings(path) or ())


@pytest.mark.parametrize("path", [
    "/", "/login/x", "/loginx", "/xlogin", "/login/../x", "/log/in", "/x;/login", "/login%2fx",
    "/login?", "/login.php",
])  # fmt: skip
def test_other_paths_stay_others(path: str) -> None:
    """Coarse is not blind."""
    assert "/login" not in (readings(path) or ())


def test_long_path_has_neither_form_unless_it_is_plain() -> None:
    """Reading takes time, and nobody has such a path."""
    assert readings("/%41" * MAX_LENGTH) is None
    assert exact("/%41" * MAX_LENGTH) is None
    plain = "/a" * MAX_LENGTH
    assert readings(plain) == frozenset((plain,))


def _escaped(char: str, depth: int) -> str:
    escape = "".join(f"%{octet:02X}" for octet in char.encode())
    for _ in range(depth):
        escape = escape.replace("%", "%25")
    return escape


@st.composite
def respelled(draw: st.DrawFn) -> tuple[str, str]:
    """A path, and the same path as someone writes it who does not want it to be recognised."""
    segments = draw(st.lists(st.text("abcXYZ019_-~é", min_size=1), min_size=1, max_size=4))
    written = []
    for segment in segments:
        # Whoever is above a segment that is taken away again.
        detour = draw(st.sampled_from(["", ".", "x/..", "x;y/..", "x/%2e%2E", "./.", "%2E"]))
        chars = [
            draw(st.sampled_from([char, char.swapcase(), _escaped(char, 0), _escaped(char, 2)]))
            for char in segment
        ]
        end = draw(st.sampled_from(["", ";x=y", ".", "%20", ";", "%2e", "%00"[:0], "%3Bz"]))
        slash = draw(st.sampled_from(["/", "//", "\\", "%2f", "%5C", "%252F"]))
        written.append(f"{slash}{detour}/{''.join(chars)}{end}")
    tail = draw(st.sampled_from(["", "/", "//", "/.", "%2f", "%00.png", "%0a"]))
    return "/" + "/".join(segments), "".join(written) + tail


@given(respelled())
def test_loose_form_is_that_of_every_spelling(paths: tuple[str, str]) -> None:
    """Escapes, case, dots, slashes and parameters, all at once."""
    path, spelling = paths
    assert loose(spelling) == loose(path)
    assert loose(path) in (readings(spelling) or ())


PATHS = st.one_of(
    st.text(max_size=40),
    st.text("/.%25eEfFcC;\\a \0+é\udc80\udcffﬀ％／ẚ\u0338", max_size=40).map("/".__add__),
    st.lists(st.sampled_from(["/", "a", "%2e", ".", "%C3%A9", "%3B", "%41", "A"])).map("".join),
)  # fmt: skip


@given(PATHS)
def test_forms_of_any_path_are_their_own(path: str) -> None:
    """Normalising twice changes nothing, and a normal path is as loose as what it came from."""
    assert loose(loose(path)) == loose(path)
    assert loose(path) in (readings(path) or ())
    normal = exact(path)
    if normal is not None:
        assert exact(normal) == normal
        assert loose(normal) == loose(path)
        assert readings(normal) == readings(path) == frozenset((loose(path),))


@given(st.text(UNRESERVED, min_size=1), st.data())
def test_exact_path_does_not_depend_on_escapes_of_unreserved_characters(
    segment: str, data: st.DataObject
) -> None:
    """RFC 3986 6.2.2.2."""
    spelling = "".join(
        f"%{ord(char):02x}" if data.draw(st.booleans()) else char for char in segment
    )
    assert exact(f"/{spelling}") == exact(f"/{segment}")


@given(st.text(max_size=20))
def test_text_that_is_escaped_as_it_should_be_is_read_back(text: str) -> None:
    """Decoding whole undoes any number of escapings."""
    octets = percent.decoded_whole(text.encode())
    once = quote(octets)
    assert percent.decoded(once.encode()) == octets
    assert percent.decoded_whole(quote(once).encode()) == octets


@given(st.lists(st.sampled_from(["%", "2", "5", "%25", "%32", "u00", "4", "1", "z"])).map("".join))
def test_decoding_whole_leaves_nothing_to_decode(text: str) -> None:
    """Whatever the escapes make when they are put together."""
    whole = percent.decoded_whole(text.encode())
    assert percent.decoded_whole(whole) == whole
    once = percent.decoded(text.encode())
    assert once is None or percent.decoded_whole(once) == whole


@pytest.mark.parametrize(("pattern", "matched", "others"), [
    ("/hooks", ["/hooks"], ["/hooks/", "/hooks/x", "/hooksx", "/Hooks", "/"]),
    ("/hooks/", ["/hooks/"], ["/hooks", "/hooks/x"]),
    ("/hooks/*", ["/hooks/x", "/hooks/x/y", "/hooks/x/"], ["/hooks", "/hooksx", "/hooks/", "/x"]),
    ("/*", ["/x", "/x/y"], ["/"]),
    ("/%7Ea/%C3%A9", ["/~a/%C3%A9"], ["/~a/%c3%a9"]),
])  # fmt: skip
def test_pattern_matches_on_the_boundary_of_segments(
    pattern: str, matched: list[str], others: list[str]
) -> None:
    """A star at the end stands for what lies below, and for nothing else."""
    parsed = PathPattern.parse(pattern)
    assert parsed is not None
    assert PathPattern.parse(str(parsed)) == parsed
    assert [path for path in (*matched, *others) if parsed.matches(path)] == matched
    assert not parsed.matches(None)


@pytest.mark.parametrize("pattern", [
    "", "*", "hooks", "/hooks*", "/*/x", "/a*/b", "/hooks/**", "//*", "/a/../b", "/a;x", "/%2f/*",
])  # fmt: skip
def test_pattern_without_a_normal_form_is_none(pattern: str) -> None:
    """It would match nothing, or more than was meant."""
    assert PathPattern.parse(pattern) is None

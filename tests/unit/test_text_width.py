"""How wide text is, and what of it has room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.quoting import printable
from extauthz.text_width import cut, width_of


@pytest.mark.parametrize(("text", "width"), [
    ("", 0), ("acme", 4), ("日本", 4), ("ＡＢ", 4), ("ü", 1), ("\x1b", len("\\x1b")),
])  # fmt: skip
def test_width_is_that_of_what_is_shown(text: str, width: int) -> None:
    assert width_of(text) == width


@given(st.text(), st.integers(1, 40))
def test_cut_text_has_room_and_says_that_it_is_cut(text: str, width: int) -> None:
    shown = cut(text, width)
    assert width_of(shown) <= width
    if width_of(text) <= width:
        assert shown == text
    else:
        assert shown[-1] == "…"
        assert printable(text).startswith(shown[:-1])

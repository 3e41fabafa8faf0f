"""Octets that were right, and are not any more."""

from hypothesis import strategies as st

__all__ = ["damaged"]


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """One octet changed, some cut out, some put in, the end gone, or something else entirely."""
    place = st.integers(0, len(whole) - 1)
    return st.one_of(
        st.tuples(place, st.integers(1, 255)).map(
            lambda flip: whole[: flip[0]] + bytes([whole[flip[0]] ^ flip[1]]) + whole[flip[0] + 1 :]
        ),
        st.tuples(place, st.integers(1, 8)).map(
            lambda cut: whole[: cut[0]] + whole[cut[0] + cut[1] :]
        ),
        st.tuples(st.integers(0, len(whole)), st.binary(min_size=1, max_size=20)).map(
            lambda extra: whole[: extra[0]] + extra[1] + whole[extra[0] :]
        ),
        place.map(lambda end: whole[:end]),
        st.binary(max_size=300),
    )

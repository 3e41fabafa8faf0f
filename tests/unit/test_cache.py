"""A cache holds what is used, and never more than it may."""

from hypothesis import given
from hypothesis import strategies as st

from extauthz.cache import BoundedCache


def test_what_is_used_stays_and_what_is_not_goes() -> None:
    """A flood of new keys does not push out the one that is asked for all the time."""
    cache: BoundedCache[str, int] = BoundedCache(100)
    cache.put("used", 1, 5)
    cache.put("forgotten", 2, 5)
    for number in range(200):
        cache.put(f"flood {number}", number, 5)
        assert cache.get("used") == 1
    assert (cache.hits, cache.misses) == (200, 0)

    assert cache.get("forgotten") is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 15), st.booleans()), max_size=300))
def test_sizes_never_add_up_to_more_than_the_capacity(
    uses: list[tuple[int, int, bool]],
) -> None:
    """Whatever is put in and asked for, in whatever order; and values are never mixed up."""
    cache: BoundedCache[int, tuple[int, int]] = BoundedCache(100)
    sizes: dict[int, int] = {}
    for key, size, asks in uses:
        if asks:
            found = cache.get(key)
            assert found is None or found == (key, sizes[key])
        else:
            cache.put(key, (key, size), size)
            if size <= 10:
                sizes[key] = size
        held = [value for k in range(31) if (value := cache.get(k)) is not None]
        assert sum(size for _, size in held) <= 100

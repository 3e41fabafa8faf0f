"""The admin pages in a real Chromium: they look as they should, and nothing in them runs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page

from tests.admin.conftest import Operator, Serving, operator_of
from tests.admin.test_door import own_address
from tests.admin.test_pages import decision_of
from tests.admin.traffic import HOSTILE, World
from tests.browser.chromium import DESKTOP, PHONE, Visit, follow, running_chromium, visit
from tests.cli.conftest import Server

WORD = "a-token-for-the-browser-0123456789"

FAINT = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b]
    .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const paper = rgb(getComputedStyle(e).backgroundColor);
      if (paper.length < 4 || paper[3] === 1) return paper;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    if (['TITLE', 'DESC', 'title', 'desc', 'OPTION'].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const ink = rgb(element.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${element.outerHTML}: ${ink}`);
  }
  return found;
}"""
"""Text whose contrast is below WCAG 2.2's 1.4.3."""

STOPS = """() => [...document.querySelectorAll('a[href], input, select, textarea, button, summary')]
  .filter(e => e.type !== 'hidden').length"""
FOCUSED = """() => {
  const e = document.activeElement;
  if (e === document.body) return null;
  const box = e.getBoundingClientRect(), style = getComputedStyle(e);
  return {
    id: e.id, number: [...document.querySelectorAll('*')].indexOf(e), tag: e.tagName,
    seen: box.width > 0 && box.bottom > 0 && box.right > 0 && box.left < innerWidth,
    outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
  };
}"""
UNNAMED = """() => [...document.querySelectorAll('input, select, textarea')]
  .filter(e => e.type !== 'hidden' && !(e.labels && e.labels.length))
  .concat([...document.querySelectorAll('table')].filter(t => !t.caption))
  .concat([...document.querySelectorAll('a[href], button')].filter(e => !e.textContent.trim()))
  .map(e => e.outerHTML)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def paths(operator: Operator) -> Mapping[str, str]:
    """Every kind of page."""
    return {
        "overview": "/",
        "acme": "/subscriptions/acme",
        "audited": "/subscriptions/audited",
        "nobodys": "/subscriptions/-",
        "decisions": "/decisions",
        "older": "/decisions?before=40",
        "tolerated": "/decisions?outcome=tolerated",
        "none": "/decisions?who=nobody-at-all",
        "refused": decision_of(operator, "bob-1"),
        "passed": decision_of(operator, "alice-1"),
        **{f"hostile {n}": decision_of(operator, f"hostile-{n}") for n in range(len(HOSTILE))},
        "try": "/try?host=acme.example.com",
    }


def open_page(seen: Visit, operator: Operator, path: str) -> Page:
    answer = seen.page.goto(f"http://{operator.where}{path}")
    assert answer is not None
    assert answer.ok
    return seen.page


def fits(page: Page) -> bool:
    """Whether the page needs no scrolling to the side."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.mark.parametrize(
    ("size", "dark"), [(DESKTOP, True), (PHONE, False)], ids=["dark", "light on a phone"]
)
def test_every_page_is_in_order(
    browser: Browser,
    operator: Operator,
    paths: Mapping[str, str],
    size: tuple[int, int],
    dark: bool,  # noqa: FBT001
) -> None:
    """No complaint, nothing executed or fetched from elsewhere, nothing too faint or too wide."""
    with visit(browser, size=size, dark=dark) as seen:
        for name, path in paths.items():
            page = open_page(seen, operator, path)
            assert page.title().endswith(" – extauthz"), name
            assert page.locator("script, img, iframe, [onmouseover], [onerror]").count() == 0, name
            assert page.locator("h1").count() == 1, name
            assert fits(page), name
            assert page.evaluate(FAINT) == [], name
            assert page.evaluate(UNNAMED) == [], name
            for summary in page.locator("summary").all():
                summary.click()
            assert fits(page), name
        assert seen.complaints == []
        assert {url.split("/")[2] for url in seen.requests} == {operator.where}
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(20, 25, 31)" if dark else "rgb(255, 255, 255)")


SMALL = """() => [...document.querySelectorAll('svg text')]
  .map(e => [parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a, e.textContent])
  .filter(([size]) => size < 12)"""
OVERLAPPING = """() => [...document.querySelectorAll('svg.chart')].flatMap(svg => {
  const boxes = [...svg.querySelectorAll('text')].map(e => {
    const clip = e.parentElement === svg || e.parentElement.tagName === 'g' ? null
      : e.parentElement.getBoundingClientRect();
    const box = e.getBoundingClientRect();
    return {text: e.textContent, top: box.top, bottom: box.bottom, left: box.left,
            right: clip ? Math.min(box.right, clip.right) : box.right};
  });
  const rise = a => (a.bottom - a.top) * 0.25;
  return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b =>
    a.left < b.right && b.left < a.right && a.top + rise(a) < b.bottom - rise(b)
    && b.top + rise(b) < a.bottom - rise(a)).map(b => [a.text, b.text]));
})"""


@pytest.mark.parametrize("name", ["overview", "acme"])
def test_charts_can_be_read_on_a_small_phone(
    browser: Browser, operator: Operator, paths: Mapping[str, str], name: str
) -> None:
    """Letters of 12 pixels or more, none upon another."""
    with visit(browser, size=(360, 740)) as seen:
        page = open_page(seen, operator, paths[name])
        assert page.locator("svg.chart text").count() > 0
        assert page.evaluate(SMALL) == []
        assert page.evaluate(OVERLAPPING) == []
        assert fits(page)


@pytest.mark.parametrize("name", ["overview", "acme", "tolerated", "refused", "try"])
def test_the_keyboard_reaches_everything(
    browser: Browser, operator: Operator, paths: Mapping[str, str], name: str
) -> None:
    """Each stop once, in order, seen, and with an outline; the first one skips to the content."""
    with visit(browser) as seen:
        page = open_page(seen, operator, paths[name])
        stops = page.evaluate(STOPS)
        reached: list[int] = []
        for _ in range(stops * 4):
            page.keyboard.press("Tab")
            focused = page.evaluate(FOCUSED)
            if focused is None or (reached and focused["number"] == reached[0]):
                break
            assert focused["seen"], focused
            assert focused["outlined"], focused
            # The parts of a field for a date are stops of their own.
            if focused["number"] not in reached:
                reached.append(focused["number"])
        assert len(reached) == stops
        assert reached == sorted(reached)

        page = open_page(seen, operator, paths[name])
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        page.locator("#content:focus").wait_for()


def test_a_certificate_is_tried_by_hand(browser: Browser, operator: Operator, world: World) -> None:
    """Pasted or uploaded; a key is refused, and not there when the page comes back."""
    with visit(browser) as seen:
        page = open_page(seen, operator, "/try")
        page.get_by_label("Certificate (PEM)").fill(world.alice.pem)
        page.get_by_label("Host").fill("acme.example.com")
        page.get_by_label("Login").fill("alice")
        follow(page.get_by_role("button", name="Try it"))
        assert page.locator("#outcome").inner_text() == "What would be decided"
        assert page.get_by_label("Certificate (PEM)").input_value() == world.alice.pem
        assert page.locator(".steps .failed").count() == 0

        page.get_by_label("Certificate (PEM)").fill("")
        der = FilePayload(name="bob.cer", mimeType="application/pkix-cert", buffer=world.bob.der)
        page.get_by_label("or a file").set_input_files(der)
        page.get_by_label("Login").fill("bob")
        page.get_by_label("As of (UTC)").fill("2126-01-01T12:00")
        follow(page.get_by_role("button", name="Try it"))
        assert page.locator(".steps .failed").count() >= 2
        assert "email_mismatch" in page.inner_text("main")
        assert seen.complaints == []

        page.get_by_label("Certificate (PEM)").fill(world.alice.key_pem)
        follow(page.get_by_role("button", name="Try it"))
        assert "There is a private key" in page.get_by_role("alert").inner_text()
        assert world.alice.key_pem.splitlines()[1] not in page.content()
        # Of Chromium itself, on any answer of 400 and above.
        assert seen.complaints == [each for each in seen.complaints if "422" in each]


def test_a_hostile_certificate_is_tried(browser: Browser, operator: Operator, world: World) -> None:
    """What stands in it is shown, and does nothing."""
    with visit(browser) as seen:
        for certificate in world.hostile[:3]:
            page = open_page(seen, operator, "/try")
            page.get_by_label("Certificate (PEM)").fill(certificate.pem)
            page.get_by_label("Host").fill("audited.example.com")
            follow(page.get_by_role("button", name="Try it"))
            assert page.title() == "Try a certificate – extauthz"
            assert page.locator("script, img, [onmouseover], [onerror]").count() == 0
        assert seen.complaints == []


def test_the_list_is_searched_and_loads_itself_again(
    browser: Browser, operator: Operator, server: Server, world: World
) -> None:
    """By the form, and by a link without any script."""
    with visit(browser) as seen:
        page = open_page(seen, operator, "/decisions")
        page.get_by_label("Login or name").fill("bob")
        page.get_by_label("Decision", exact=True).select_option("failed")
        follow(page.get_by_role("button", name="Find"))
        assert page.locator("tbody tr").count() == 7
        follow(page.get_by_role("link", name="every 5 seconds"))
        assert page.get_by_label("Login or name").input_value() == "bob"
        with page.expect_request(re.compile("/decisions")) as again:
            pass
        assert again.value.url == page.url
        # It may load itself once more before the click counts.
        with page.expect_navigation(url=re.compile(r"\?(?!.*refresh)")):
            page.get_by_role("link", name="Stop that").click()
        follow(page.locator("tbody th a").first)
        assert page.locator("h1").inner_text() == "One decision"
        assert seen.complaints == []


def test_somebody_logs_in_over_plain_http(
    browser: Browser, world: World, serving: Serving, tmp_path: Path
) -> None:
    """Where a browser says less of where a form comes from; and out again."""
    file = tmp_path / "token"
    file.write_text(WORD)
    options = ("--admin", "0.0.0.0:0", "--admin-token-file", str(file))
    with serving(world.policy, *options) as server, visit(browser) as seen:
        port = operator_of(server).where.rpartition(":")[2]
        page = seen.page
        page.goto(f"http://{own_address()}:{port}/subscriptions/acme")
        assert page.title() == "Log in – extauthz"
        assert page.evaluate(FAINT) == []
        page.get_by_label("Token").fill("wrong-" + WORD)
        page.keyboard.press("Enter")
        assert page.get_by_role("alert").inner_text() == "Error: This is not the token."
        page.get_by_label("Token").fill(WORD)
        page.keyboard.press("Enter")
        page.wait_for_url("**/subscriptions/acme")
        assert page.locator("h1").inner_text() == "acme"
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert WORD not in cookie["value"]
        follow(page.get_by_role("link", name="Try a certificate").first)
        page.get_by_label("Host").fill("acme.example.com")
        follow(page.get_by_role("button", name="Try it"))
        assert "no certificate was presented" in page.inner_text("main")
        follow(page.get_by_role("button", name="Log out"))
        assert page.title() == "Log in – extauthz"
        assert page.context.cookies() == []
        # Of Chromium itself, on any answer of 400 and above.
        assert all("401" in each or "403" in each for each in seen.complaints)

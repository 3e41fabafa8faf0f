"""The report's page: one file that can be sent, says what was found, and is safe to open."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from extauthz.findings import Reason
from extauthz.remedies import REMEDIES
from extauthz.report.model import PARTLY, Completeness, Readiness, Report, SubscriptionReport
from extauthz.report.page import MAX_ROWS, MAX_SUBSCRIPTIONS, page
from tests.browser.chromium import PHONE, running_chromium, visit
from tests.report.example_reports import (
    HOSTILE,
    changed,
    empty,
    many,
    month,
    ordinary,
    refused,
    written,
)

VOID = {"meta", "br", "link", "img", "input", "hr"}


@dataclass
class Document(HTMLParser):
    """What a browser would find in a page."""

    tags: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    """Elements, with the names of their attributes."""
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    """Element, name, value."""
    lines: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _value in attrs)))
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "svg"} & set(self.open):
            self.lines.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.lines).split())

    def values(self, attribute: str) -> list[str]:
        return [value for _tag, name, value in self.attributes if name == attribute]


def read(html: str) -> Document:
    document = Document()
    document.feed(html)
    document.close()
    assert document.open == []
    return document


@pytest.mark.parametrize(
    "report",
    [ordinary(), many(), empty(), written()],
    ids=["one", "many", "empty", "hostile"],
)
def test_the_file_brings_all_it_needs_and_its_policy_says_so(report: Report) -> None:
    """Nothing is loaded and nothing runs; its only style is the one whose hash the policy has."""
    html = page(report, changed())
    document = read(html)
    tags = {tag for tag, _names in document.tags}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base", "link"}
    assert not [name for _tag, name, _value in document.attributes if name.startswith("on")]
    assert not {"style", "src", "srcset", "action"} & {
        name for _tag, name, _ in document.attributes
    }
    assert all(link.startswith("#") for link in document.values("href"))
    (style,) = re.findall("<style>(.*?)</style>", html, re.DOTALL)
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policies = [content for content in document.values("content") if "default-src" in content]
    assert policies == [
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]
    assert "url(" not in style
    assert "@import" not in style


def test_identifiers_are_unique_and_lead_somewhere() -> None:
    document = read(page(many(), changed()))
    identifiers = document.values("id")
    assert len(identifiers) == len(set(identifiers))
    meant = [link.removeprefix("#") for link in document.values("href")]
    meant += document.values("aria-labelledby") + document.values("aria-describedby")
    assert set(meant) <= set(identifiers)
    assert set(re.findall(r"url\(#([^)]+)\)", page(many()))) <= set(identifiers)


def test_a_report_of_one_subscription_says_who_why_and_what_to_do() -> None:
    report = ordinary()
    text = read(page(report)).text
    (told,) = report.subscriptions
    assert "Client certificates: who would be refused: acme" in text
    assert "Period: 2026-01-01 00:00 to 2026-01-31 23:59 UTC" in text
    assert "Made: 2026-02-01 08:59 UTC" in text
    assert "✘ Not ready to be enforced" in text
    assert told.verdict in text
    assert "412, of whom 2 would be refused" in text
    assert "Overview" not in text
    for each in told.refused:
        assert each.caller.name in text
        assert each.user_agent is not None
        assert each.user_agent in text
        assert f"last request {each.request_id}" in text
        assert f"{each.checks:,}" in text
        for reason in each.reasons:
            assert REMEDIES[reason].meaning[1:] in text
            assert " ".join(REMEDIES[reason].remedy.split("`")[0].split()) in text
    assert "from 192.0.2.14, 2001:db8::5" in text
    assert "certificate: alice@old.example, account: alice@acme.example" in text
    assert "7 more ways in, which came less often, are listed nowhere" in text
    for line in (
        "CN=Acme Users CA 2019,O=Acme SHA-256 " + "3c" * 32 + " 900 2 old-erp frank",
        "alice bob carol dave erin and 390 more",
        "Certificates that expire within 30 days",
        "CN=frank,O=Acme SHA-256 " + "5e" * 32 + " 2026-02-02 23:59 in 1 day frank",
        "login nagios Used no certificate before the new release 2026-03-31 1,302 nagios",
        "address 10.0.0.0/8 Unused: it can go",
    ):
        assert line in text


def test_each_check_is_once_in_the_chart_and_in_the_table_of_its_numbers() -> None:
    """Exempted checks are among those that pass, and are shown apart from them."""
    html = page(ordinary())
    first = month().periods[0]
    fail, exempt, rest = first.failed, first.exempt, first.passed - first.exempt
    table = f"2026-01-01 00:00 {fail + exempt + rest:,} {fail} {exempt} {rest:,}"
    assert table in read(html).text
    assert f"2026-01-01: fail {fail}, pass by exemption {exempt}, pass {rest:,}</title>" in html


def test_every_reason_is_told_in_words_with_its_remedy() -> None:
    callers = tuple(replace(refused(reason.value), reasons=(reason,)) for reason in Reason)
    text = read(page(ordinary(replace(month(), refused=callers)))).text
    for reason, remedy in REMEDIES.items():
        told = f"{remedy.meaning[0].upper()}{remedy.meaning[1:]} {reason.value}"
        assert told in text
        spaceless = "".join(remedy.remedy.replace("`", "").split())
        assert spaceless in "".join(text.split())


@pytest.mark.parametrize(
    ("completeness", "told", "untold"),
    [
        (Completeness(3, 41_350, 0, 0), "Complete: all 41,350 lines in 3 files", "not complete"),
        (Completeness(1, 41_350, 12, 0), "not complete: 12 of 41,350 lines could not", "damaged"),
        (Completeness(1, 9, 5, 0, 5), "5 of 9 lines are of another version", "torn"),
        (Completeness(1, 9, 0, 3_481), "3,481 lines were never written", "could not be read"),
        (Completeness(1, 9, 0, 0, 0, ("x.gz",)), "The file x.gz is damaged", "Complete: all"),
    ],
)
def test_what_is_missing_from_the_records_is_told_loudly(
    completeness: Completeness, told: str, untold: str
) -> None:
    text = read(page(replace(ordinary(), completeness=completeness))).text
    text = text.replace(": there may be more callers than this report tells.", ":")
    assert told in text
    assert untold not in text


def test_several_subscriptions_begin_with_an_overview_those_with_work_first() -> None:
    html = page(many())
    document = read(html)
    assert "1 of 3 subscriptions cannot be enforced without locking somebody out" in document.text
    headings = re.findall(r'<h2 id="([^"]+)">([^<]+)<', html)
    assert headings == [
        ("overview", "Overview"),
        ("s1", "acme"),
        ("s2", "gamma"),
        ("s3", "beta"),
        ("s4", "Hosts of no subscription"),
    ]
    links = re.findall(r'<a href="#(s\d)">([^<]+)</a>', html)
    assert links == headings[1:]
    for words in (
        "acme ✘ Not ready 2 people, 3 integrations",
        "gamma ? No data",
        "beta ✔ Ready",
        "✔ Enforced, and nobody who is known is refused nobody would break",
        "? No data: nothing can be said nobody came",
        "– Refused in every mode 3 checks of hosts that belong to no subscription: refused",
    ):
        assert words in document.text


@pytest.mark.parametrize(
    ("modes", "readiness", "told"),
    [
        (("audit",), Readiness.READY, "✔ Ready to be enforced"),
        (("audit", "enforce"), Readiness.READY, "✔ Enforced, and nobody who is known is refused"),
        (("enforce", "audit"), Readiness.NOT_READY, "✘ Not ready to be enforced"),
        (("enforce",), Readiness.NOT_READY, "✘ Enforced, and callers are refused"),
        (("off",), Readiness.NO_DATA, "? No data: nothing can be said"),
    ],
)
def test_readiness_is_told_in_words_and_a_sign(
    modes: tuple[str, ...], readiness: Readiness, told: str
) -> None:
    of = replace(month(), modes=modes, readiness=readiness, refused=())
    report = ordinary(replace(of, checks=0) if modes == ("off",) else of)
    assert told in read(page(report)).text


@pytest.mark.parametrize(
    ("modes", "readiness", "told"),
    [
        (PARTLY, Readiness.READY, "✔ Ready to be enforced for everybody"),
        (PARTLY, Readiness.NOT_READY, "✘ Not ready to be enforced for everybody"),
        ("audit", Readiness.NO_DATA, "? Too little data: nothing can be said yet"),
    ],
)
def test_partly_enforced_and_too_short_are_told(
    modes: str, readiness: Readiness, told: str
) -> None:
    report = ordinary(replace(month(), modes=(modes,), readiness=readiness))
    assert told in read(page(report)).text


def fated(name: str | None, is_refused: int, would_be: int) -> SubscriptionReport:
    """A subscription so many of whose callers are refused, or would be."""
    callers = [refused(f"user{n}", is_refused=n < is_refused) for n in range(is_refused + would_be)]
    return replace(month(name), refused=tuple(callers), unlisted=0)


def test_who_is_refused_is_told_from_who_would_be() -> None:
    """By what became of each, and not by who came last."""
    refused_all = read(page(ordinary(fated("a", 2, 0)))).text
    assert "Who is refused What counts" in refused_all
    assert "of whom 2 are refused" in refused_all
    would = read(page(ordinary(fated("a", 0, 1)))).text
    assert "Who would be refused What counts" in would
    assert "Let pass so far" not in would
    both = read(page(ordinary(fated("a", 1, 1)))).text
    assert "Who is refused, and who would be What counts" in both
    assert "of whom 2 are or would be refused" in both
    assert "Person, with a browser Refused" in both
    assert "Person, with a browser Let pass so far" in both
    nobodys_hosts = read(page(ordinary(fated(None, 1, 0)))).text
    assert "Refused in every mode" in nobodys_hosts
    assert "Who is refused What counts" in nobodys_hosts
    assert "would be refused What" not in nobodys_hosts


@pytest.mark.parametrize(
    ("subscriptions", "told"),
    [
        ([fated("a", 1, 0), fated("b", 0, 1)], "without a name are or would be refused."),
        ([fated("a", 1, 0), fated("b", 1, 0)], "without a name are refused."),
        ([fated("a", 0, 1), fated("b", 0, 1)], "without a name would be refused."),
    ],
    ids=["some", "all", "none"],
)
def test_overview_counts_nobody_as_to_be_refused_who_is(
    subscriptions: list[SubscriptionReport], told: str
) -> None:
    assert told in read(page(ordinary(*subscriptions))).text


def test_accounts_that_never_came_are_listed() -> None:
    """Where it is known which accounts there are."""
    names = tuple(f"user{number}" for number in range(MAX_ROWS + 20))
    text = read(page(ordinary(replace(month(), absent=names)))).text
    assert f"by login: the first {MAX_ROWS} of {MAX_ROWS + 20} (the report as JSON has all)" in text
    assert "user0 user1 user2" in text
    none = read(page(ordinary(replace(month(), absent=())))).text
    assert "Accounts that never came None: every account of the policy came." in none
    assert "Accounts that never came" not in read(page(ordinary())).text


def test_table_that_is_cut_in_every_format_says_so() -> None:
    """How many there are, and how many of them JSON has."""
    callers = tuple(refused(f"caller-{number}") for number in range(150))
    cut = replace(month(), refused=callers, unlisted=20_000)
    text = read(page(ordinary(cut))).text
    assert "the first 100 of 20,150 (the report as JSON has the first 150)" in text
    few = replace(month(), refused=callers[:3], unlisted=7)
    assert (
        "the first 3 of 10 (the report as JSON has the first 3)" in read(page(ordinary(few))).text
    )


def test_callers_that_are_not_listed_are_counted() -> None:
    """Of an exemption, and of a certificate that expires."""
    first = month()
    cut = replace(
        first,
        expiring=(replace(first.expiring[0], unlisted=90),),
        exemptions=(replace(first.exemptions[0], unlisted=1_900),),
    )
    text = read(page(ordinary(cut))).text
    assert "frank and 90 more" in text
    assert "nagios and 1,900 more" in text


def test_without_a_period_it_is_that_of_the_records() -> None:
    text = read(page(replace(many(), since=None, until=None))).text
    assert "everything that was recorded, 2026-01-01 00:04 to 2026-01-31 23:59 UTC Made:" in text


def test_a_report_of_nothing_says_so() -> None:
    text = read(page(empty())).text
    assert "No checks were recorded in this period" in text
    assert "Period: everything that was recorded" in text


@pytest.mark.parametrize(
    ("passed", "checks", "told"),
    [
        (0, 0, "0 (–)"),
        (0, 7, "0 (0 %)"),
        (1, 7_000, "1 (< 0.1 %)"),
        (6_999, 7_000, "6,999 (99.9 %)"),
        (7_000, 7_000, "7,000 (100 %)"),
    ],
)
def test_only_all_are_a_hundred_percent_and_only_none_are_nothing(
    passed: int, checks: int, told: str
) -> None:
    report = ordinary(replace(month(), passed=passed, checks=checks))
    assert f"Pass {told}" in read(page(report)).text


def test_long_tables_are_cut_and_say_how_long_they_are() -> None:
    callers = tuple(refused(f"caller-{number}") for number in range(MAX_ROWS + 1_150))
    text = read(page(ordinary(replace(month(), refused=callers, unlisted=0)))).text
    assert f"the first {MAX_ROWS} of 1,250 (the report as JSON has all)" in text
    assert f"caller-{MAX_ROWS - 1} " in text
    assert f"caller-{MAX_ROWS} " not in text


def test_of_very_many_subscriptions_those_that_need_work_are_shown() -> None:
    ready = [
        replace(month(f"ready-{n}", days=1), readiness=Readiness.READY)
        for n in range(MAX_SUBSCRIPTIONS)
    ]
    document = read(page(ordinary(*ready, month("late"))))
    assert f"the first {MAX_SUBSCRIPTIONS} of {MAX_SUBSCRIPTIONS + 1}" in document.text
    assert "late ✘ Not ready" in document.text
    assert f"ready-{MAX_SUBSCRIPTIONS - 1} " not in document.text


def test_what_another_policy_would_change_is_told_where_it_was_asked() -> None:
    text = read(page(ordinary(), changed("new.yaml"))).text
    assert "What the policy new.yaml would change" in text
    assert "412 of 41,338 checks would be refused that pass today, by 3 callers" in text
    assert "41,300 of 41,338 recorded checks could be decided anew" in text
    assert "Pass today, would be refused 412 3 2" in text
    assert "redact hides what the policy decides by" in text
    assert "What the policy" not in read(page(ordinary())).text


def test_names_that_mean_harm_change_no_element() -> None:
    """Elements and attributes are those of the same report with ordinary names."""
    texts = [text for text in HOSTILE if text]
    ordinary_names = [f"name-{number}" for number in range(len(texts))]
    assert read(page(written(texts))).tags == read(page(written(ordinary_names))).tags
    harmless = read(page(ordinary(), changed("name")))
    for text in texts:
        assert read(page(ordinary(), changed(text))).tags == harmless.tags


def test_control_characters_are_shown_and_not_sent() -> None:
    html = page(written())
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert "alice\\u202egnp.exe" in html
    assert "nul\\x00\\r\\n\\x1b[31m" in html
    html.encode()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    reports = {"many": page(many(), changed()), "hostile": page(written(), changed(HOSTILE[0]))}
    paths = {name: tmp_path_factory.mktemp("page") / "report.html" for name in reports}
    for name, path in paths.items():
        path.write_text(reports[name], encoding="utf-8")
    return paths


def looked_at(browser: Browser, path: Path, script: str, **how: Any) -> Any:
    """What a script of ours finds in the page, which asks for nothing and complains of nothing."""
    with visit(browser, **how) as visited:
        visited.page.goto(path.as_uri())
        visited.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = visited.page.evaluate(script)
        assert visited.page.title().startswith("Client certificates: who would be refused")
        assert visited.requests == [path.as_uri()]
        assert visited.complaints == []
        return found


@pytest.mark.parametrize("name", ["many", "hostile"])
def test_a_browser_runs_nothing_asks_for_nothing_and_scrolls_no_page_sideways(
    browser: Browser, files: dict[str, Path], name: str
) -> None:
    script = (
        "[document.documentElement.scrollWidth, document.scripts.length, document.images.length]"
    )
    width, scripts, images = looked_at(browser, files[name], script, size=PHONE)
    assert width == PHONE[0]
    assert scripts == images == 0


def test_the_policy_holds_even_where_escaping_would_fail(browser: Browser, tmp_path: Path) -> None:
    slipped = "<script>document.title = 'run'</script><p style='color: red'>x</p><img src='x.png'>"
    path = tmp_path / "report.html"
    path.write_text(page(ordinary()).replace("</main>", f"{slipped}</main>"), encoding="utf-8")
    with visit(browser) as visited:
        visited.page.goto(path.as_uri())
        assert visited.page.title() == "Client certificates: who would be refused: acme"
        assert visited.page.locator("p[style]").evaluate("e => getComputedStyle(e).color") != (
            "rgb(255, 0, 0)"
        )
        assert visited.page.evaluate("document.images[0].naturalWidth") == 0
        assert len(visited.complaints) == 3
        assert all("Content Security Policy" in each for each in visited.complaints)


CONTRAST = r"""() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = color => {
    const [r, g, b] = rgba(color).slice(0, 3).map(v => v / 255)
      .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (rgba(color)[3] === 255) return color;
    }
    return 'transparent';
  };
  const found = {}, texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || ['title', 'desc'].includes(element.localName)) continue;
    const style = getComputedStyle(element), svg = element.localName === 'text';
    const [a, b] = [svg ? style.fill : style.color, ground(element)].map(light);
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const kind = `${element.localName}.${element.className.baseVal ?? element.className}`;
    found[kind] = Math.min(found[kind] ?? 99, ratio);
  }
  return {ground: ground(document.body), found};
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_contrast_in_light_and_in_dark(
    browser: Browser,
    files: dict[str, Path],
    dark: bool,  # noqa: FBT001
) -> None:
    seen = looked_at(browser, files["many"], CONTRAST, dark=dark)
    assert seen["ground"] == ("rgb(20, 25, 31)" if dark else "rgb(255, 255, 255)")
    assert {"text.", "span.sign bad", "span.sign good", "span.sign warn", "caption."} <= set(
        seen["found"]
    )
    assert {kind: ratio for kind, ratio in seen["found"].items() if ratio < 4.5} == {}


def test_paper_is_white_though_the_screen_is_dark(browser: Browser, files: dict[str, Path]) -> None:
    with visit(browser, dark=True) as visited:
        visited.page.emulate_media(media="print")
        visited.page.goto(files["many"].as_uri())
        seen = visited.page.evaluate(CONTRAST)
        hidden = visited.page.locator("details, .skip").evaluate_all(
            "e => e.map(e => getComputedStyle(e).display)"
        )
    assert seen["ground"] == "rgb(255, 255, 255)"
    assert min(seen["found"].values()) >= 4.5
    assert set(hidden) == {"none"}


STRUCTURE = """() => ({
  language: document.documentElement.lang,
  headings: [...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.localName[1]),
  bare: [...document.querySelectorAll('table')].filter(t => !t.caption?.innerText.trim()).length,
  loose: [...document.querySelectorAll('th')].filter(h => !h.scope || !h.innerText.trim()).length,
  headless: [...document.querySelectorAll('tbody tr')].filter(r => !r.querySelector('th')).length,
  ragged: [...document.querySelectorAll('tbody tr')].filter(r =>
    r.cells.length !== r.closest('table').tHead.rows[0].cells.length).length,
  unreachable: [...document.querySelectorAll('.box')].filter(b => b.tabIndex !== 0).length,
  boxed: [...document.querySelectorAll('table')].every(t => t.closest('.box')),
  nameless: [...document.querySelectorAll('svg[role]')].filter(s =>
    !document.getElementById(s.getAttribute('aria-labelledby'))?.textContent.trim()).length,
  charts: document.querySelectorAll('svg[role=img]').length,
  tables: document.querySelectorAll('table').length,
})"""


@pytest.mark.parametrize("name", ["many", "hostile"])
def test_headings_tables_and_charts_are_there_for_who_does_not_see_them(
    browser: Browser, files: dict[str, Path], name: str
) -> None:
    seen = looked_at(browser, files[name], STRUCTURE)
    headings = seen["headings"]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert seen["language"] == "en"
    assert seen["charts"] >= 5
    assert seen["tables"] >= 15
    for fault in ("bare", "loose", "headless", "ragged", "unreachable", "nameless"):
        assert seen[fault] == 0, fault
    assert seen["boxed"]


def test_the_keyboard_reaches_the_report_first(browser: Browser, files: dict[str, Path]) -> None:
    with visit(browser) as visited:
        visited.page.goto(files["many"].as_uri())
        visited.page.keyboard.press("Tab")
        assert visited.page.evaluate("document.activeElement.textContent") == "To the report"
        left = visited.page.evaluate("document.activeElement.getBoundingClientRect().left")
        assert left >= 0

"""An operator with a browser: the admin pages behind Envoy, set up as docs/admin.md says.

How Envoy and extauthz are set up, and what they answer to others, is in
`tests.wire.test_admin_behind_envoy`. Here the browser says where a form comes from.
"""

from pathlib import Path

from tests.browser.chromium import visit
from tests.browser.test_refusal import browser_of, managed, opened
from tests.wire.stack import ALICE
from tests.wire.test_admin_behind_envoy import ADMIN, OLGA, OSCAR, Site, site

__all__ = ["managed", "site"]

PAGES = f"https://{ADMIN}:8443"
ELSEWHERE = "https://elsewhere.example"
TRAP = f"""<!DOCTYPE html><title>trap</title>
<form method="post" action="{PAGES}/try"><input name="host" value="acme.example"></form>
<a href="{PAGES}/decisions">decisions</a>"""


def test_operator_looks_around_and_tries_a_certificate(site: Site, tmp_path: Path) -> None:
    """By links and a form, and on no other port or scheme; the browser finds nothing to object."""
    with browser_of(site.stack, tmp_path, OLGA) as browser, visit(browser) as seen:
        page = seen.page
        response = opened(seen, f"{PAGES}/")
        assert response.status == 200
        for link, title in (
            ("Decisions", "Decisions – extauthz"),
            ("Overview", "Overview – extauthz"),
            ("Try a certificate", "Try a certificate – extauthz"),
        ):
            page.get_by_role("navigation", name="Pages").get_by_role("link", name=link).click()
            page.wait_for_url(f"{PAGES}/**")
            assert page.title() == title

        page.get_by_label("Host").fill("acme.example")
        page.get_by_label("or a file").set_input_files(
            {"name": "alice.der", "mimeType": "application/octet-stream", "buffer": ALICE.der}
        )
        page.get_by_role("button", name="Try it").click()
        page.get_by_role("heading", name="What would be decided").wait_for()
        assert "alice@acme.example" in page.inner_text("main")

        assert f"{PAGES}/static/style.css" in seen.requests
        assert all(url.startswith(f"{PAGES}/") for url in seen.requests)
        assert seen.complaints == []


def test_another_site_makes_an_operators_browser_do_nothing(site: Site, tmp_path: Path) -> None:
    """Though it presents the certificate there, too. A link is a link."""
    with browser_of(site.stack, tmp_path, OLGA) as browser, visit(browser) as seen:
        page = seen.page
        page.route(
            f"{ELSEWHERE}/**", lambda route: route.fulfill(body=TRAP, content_type="text/html")
        )
        page.goto(f"{ELSEWHERE}/")
        with page.expect_navigation() as sent:
            page.evaluate("document.forms[0].submit()")
        assert sent.value.status == 403
        assert "sent by a page of another site" in page.inner_text("body")

        page.goto(f"{ELSEWHERE}/")
        with page.expect_navigation() as followed:
            page.get_by_role("link").click()
        assert followed.value.status == 200
        assert page.title() == "Decisions – extauthz"


def test_user_with_a_certificate_of_the_same_ca_is_refused(site: Site, tmp_path: Path) -> None:
    """With the page that every refused user gets, and no word of what is there."""
    with browser_of(site.stack, tmp_path, OSCAR) as browser, visit(browser) as seen:
        assert opened(seen, f"{PAGES}/decisions").status == 403
        assert seen.page.title() == "Invalid user credentials"
        assert "ecision" not in seen.page.content()

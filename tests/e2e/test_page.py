"""The page as people use it: in a headless Chromium, before a whole site on real processes.

The pictures lie in the folder that CRLM_TEST_SCREENSHOTS names, else in one of pytest's own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from browser import Window
from playwright.sync_api import Browser, Page, expect
from pydicom import dcmread

from node.core.ledger import audit
from node.servers import free_port

from .conftest import Sent, renamed, send_all
from .stack import READER, SCANNER, Stack

NAME, PASSWORD = "anna", "correct horse battery staple"
SIZE = {"width": 1440, "height": 900}
GRAVE = ("serious", "critical")
AXE = """async () => {
    const found = await axe.run(document, { resultTypes: ['violations'] });
    return found.violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map(one => one.html) }));
}"""


@pytest.fixture(scope="module")
def axe(lacking: Callable[[str], None]) -> str:
    """The script of axe-core."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        lacking("axe-core")
    return Path(str(found.origin)).with_name("axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page of the site, with an account of an administrator."""
    password = tmp_path_factory.mktemp("secret") / "password"
    password.write_text(PASSWORD)
    stack.cli("user", "add", NAME, "--role", "administrator", "--password-file", password)
    port = free_port()
    command = [sys.executable, "-P", "-m", "node", "--config", str(stack.config), "web"]
    with (stack.home / "web.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, "CRLM_NODE_WEB_PORT": str(port)},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        try:
            stack.await_(lambda: b"serves" in (stack.home / "web.log").read_bytes(), "the page is served")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(20) == 0
    stack.cli("user", "remove", NAME)


@pytest.fixture(scope="module")
def page(chrome: Browser, address: str) -> Iterator[Page]:
    """A window in which somebody is signed in."""
    context = chrome.new_context(viewport=SIZE)
    opened = context.new_page()
    seen = Window(opened, address)
    opened.goto(f"{address}/")
    expect(opened).to_have_url(re.compile("/sign-in"))
    opened.get_by_label("Name").fill(NAME)
    opened.get_by_label("Password").fill(PASSWORD)
    opened.get_by_role("button", name="Sign in").click()
    expect(opened.get_by_role("heading", name="Worklist")).to_be_visible()
    yield opened
    context.close()
    assert seen.complaints == []


@pytest.fixture(scope="module")
def study(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """A study without a height."""
    made = renamed(phantom, tmp_path_factory.mktemp("page"), "a study for the page")
    for path in made.slices:
        ds = dcmread(path)
        del ds.PatientSize
        ds.PatientName, ds.PatientID, ds.AccessionNumber, ds.StudyDate = "Page^Jane", "PAGE-1", "ACC-77", "20260301"
        ds.save_as(path)
    seg = dcmread(made.seg)
    seg.PatientName, seg.PatientID = "Page^Jane", "PAGE-1"
    seg.pop("PatientSize", None)
    seg.save_as(made.seg)
    return made


def row(page: Page, study: Sent) -> Any:
    """Return the row of a study in the worklist."""
    return page.get_by_role("row").filter(has=page.locator(f"a[href='/studies/{study.uid}']"))


def test_a_study_is_seen_to_travel(stack: Stack, page: Page, address: str, study: Sent, shots: Path) -> None:
    """It appears in the open worklist, and its state changes there until it is delivered; nobody reloads."""
    page.goto(f"{address}/")
    expect(page.locator("#live")).to_have_attribute("data-state", "on")
    page.evaluate("window.thisVeryPage = true")
    send_all(stack, study)
    expect(row(page, study)).to_contain_text("Page Jane")
    stack.wait(study.uid)
    expect(row(page, study)).to_contain_text("delivered")
    assert page.evaluate("window.thisVeryPage")
    page.screenshot(path=shots / "page-worklist.png")


def test_an_accession_number_finds_its_study(page: Page, address: str, study: Sent) -> None:
    """By what a telephone call names; and something else does not find it."""
    page.goto(f"{address}/")
    page.get_by_label("Search").fill("acc-77")
    page.get_by_role("button", name="Search").click()
    expect(row(page, study)).to_be_visible()
    page.get_by_label("Search").fill("acc-78")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No study fits the search.")).to_be_visible()


def test_a_missing_height_is_entered(stack: Stack, page: Page, address: str, study: Sent, shots: Path) -> None:
    """PMVI is not computed for want of a height; one is entered, PMVI appears, and revision 2 is in the PACS."""
    page.goto(f"{address}/studies/{study.uid}")
    pmvi = page.get_by_role("row").filter(has_text="PMVI")
    expect(pmvi).to_contain_text("The patient's height is not known.")
    page.get_by_label("Height").fill("1.70")
    page.get_by_role("button", name="Enter and judge again").click()
    expect(page.get_by_text("The facts are entered, and the study is judged again.")).to_be_visible()
    view = stack.wait(study.uid, lambda now: len(now.jobs) == 2 and now.proven)
    expect(pmvi).to_contain_text("cm³/m³")
    expect(page.get_by_text("revision 2")).to_be_visible()
    value = stack.document(view)["measurements"]["psoas.pmvi"]["value"]
    expect(pmvi).to_contain_text(f"{value:.2f}")
    held = {
        str(one.SeriesDescription)
        for one in stack.pacs().find("SERIES", {"StudyInstanceUID": study.uid, "SeriesDescription": ""})
    }
    assert any(one.startswith("rev 2: ") for one in held)
    page.screenshot(path=shots / "page-study.png", full_page=True)


def test_a_study_is_replayed(stack: Stack, page: Page, address: str, study: Sent) -> None:
    """By its button, with a cause; the audit trail names who did it."""
    before = len(stack.causes(study.uid))
    page.goto(f"{address}/studies/{study.uid}")
    orders = page.get_by_role("region", name="Orders")
    orders.get_by_label("Why").fill("seen twice")
    orders.get_by_role("button", name="Measure again").click()
    expect(page.get_by_text("The study is measured again.")).to_be_visible()
    stack.wait(study.uid, lambda now: now.proven and len(stack.causes(study.uid)) > before + 2)
    with stack.ledger.transaction() as session:
        told = [one for one in audit.rows(session, study_uid=study.uid) if one.detail == "replay seen twice"]
    assert [(one.user_id, one.host) for one in told] == [(NAME, "127.0.0.1")]


def test_a_study_is_released_from_quarantine(
    stack: Stack, page: Page, address: str, phantom: Path, tmp_path: Path, shots: Path
) -> None:
    """Two patients in one study: it is set aside, shown with what to do, and judged again when it is released."""
    mixed = renamed(phantom, tmp_path, "mixed for the page")
    ds = dcmread(mixed.slices[0])
    ds.PatientID, ds.PatientName = "PAGE-3", "Other^Jill"
    ds.save_as(mixed.slices[0])
    stack.give([mixed.seg], READER)
    stack.give(mixed.slices, SCANNER)
    stack.wait(mixed.uid, lambda now: now.refused)
    page.goto(f"{address}/?state=quarantined")
    page.locator(f"a[href='/studies/{mixed.uid}']").click()
    expect(page.get_by_text("What to do:")).to_be_visible()
    page.screenshot(path=shots / "page-quarantine.png", full_page=True)
    page.get_by_role("region", name="Orders").get_by_role("button", name="Release from quarantine").click()
    expect(page.get_by_text("The study is judged again.")).to_be_visible()
    happened = page.get_by_role("region", name="What happened")
    expect(happened.get_by_text(f"quarantine release by {NAME}")).to_be_visible()
    stack.wait(mixed.uid, lambda now: now.refused)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_grave_fault_for_who_cannot_see_it(
    page: Page, address: str, study: Sent, axe: str, scheme: Any, shots: Path
) -> None:
    """axe-core finds nothing serious on any page, light and dark."""
    page.emulate_media(color_scheme=scheme)
    others = (f"/studies/{study.uid}/patient", "/destinations", "/audit", "/accounts")  # in the colours of the first
    for path in ("/", f"/studies/{study.uid}", "/operation", *(others if scheme == "light" else ())):
        page.goto(f"{address}{path}")
        page.wait_for_selector("#live[data-state=on]")
        page.screenshot(
            path=shots / f"page-{scheme}-{path.strip('/').split('/')[-1][:12] or 'worklist'}.png", full_page=True
        )
        page.evaluate(axe)
        found = [one for one in page.evaluate(AXE) if one["impact"] in GRAVE]
        assert found == [], path


def test_the_worklist_is_used_by_keyboard(page: Page, address: str) -> None:
    """The first stop is the way past the navigation; it leads to the content."""
    page.goto(f"{address}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

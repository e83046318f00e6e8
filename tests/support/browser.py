"""A headless Chromium that looks at a page, and what it complains of; and what it shows when the page is OHIF.

Comes in: the address of `ohif.served`. Goes out: pixels, texts, the list of series, as a person sees them. Nothing is
asked of the viewer that a person could not see, but for two things: on which pixel of the window a point of the patient
lies, and to turn to a slice at once.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

Pixels = NDArray[np.int16]  # rows, columns, red green blue

PATIENCE_S = 60.0
SIZE = {"width": 1280, "height": 800}
# WebGL without a GPU; and no name is looked up, so that nothing outside this machine is reached by any way.
_OPTIONS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_SERIES = "[data-cy^=study-browser-thumbnail]"
_PANE = "[data-cy=viewport-pane]"
_LINES = f"{_PANE} svg text tspan"
_OPENED = 3  # times that a drawn report is opened before it counts as one that draws nothing
_VIEWPORT = """
    const id = window.services?.viewportGridService.getActiveViewportId();
    const viewport = id && window.services.cornerstoneViewportService.getCornerstoneViewport(id);
"""
# Its tour and its word on investigational use lie above everything until someone has seen them.
_NOT_THE_FIRST_TIME = """
    localStorage.setItem('shownTours', '["basicViewerTour"]');
    sessionStorage.setItem('investigationalUseDialog', 'hidden');
"""
# Console errors of a stock OHIF that say nothing of what it shows: regular expression of the whole message -> reason.
HARMLESS: dict[str, str] = {}


def chromium() -> str | None:
    """Return where the browser is, None where there is none."""
    return shutil.which("chromium")


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Run a browser for the length of a block."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=list(_OPTIONS))
        try:
            yield started
        finally:
            started.close()


@dataclass
class Window:
    """A window of the browser.

    Parameters
    ----------
    home
        The one address that it may ask for anything.
    complaints
        Console errors, exceptions that nobody caught, and requests to anywhere else, since it was opened.
    """

    page: Page
    home: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._follow)

    def _hear(self, message: ConsoleMessage) -> None:
        harmless = any(re.fullmatch(one, message.text, re.DOTALL) for one in HARMLESS)
        if message.type == "error" and not harmless:
            self.complaints.append(f"console: {message.text}")

    def _follow(self, request: Request) -> None:
        if not request.url.startswith((f"{self.home}/", "data:", f"blob:{self.home}/")):
            self.complaints.append(f"request outside: {request.url}")

    def awaits(self, found: Callable[[], bool], limit_s: float = PATIENCE_S) -> bool:
        """Wait, while the page lives, until something is found; say whether it was."""
        steps = int(limit_s / 0.2)
        for _ in range(steps):
            if found():
                return True
            self.page.wait_for_timeout(200)
        return found()

    def keep(self, folder: Path, name: str) -> Path:
        """Write what the window shows into a file."""
        path = folder / f"{name}.png"
        self.page.screenshot(path=path)
        return path


@contextmanager
def window(browser: Browser, home: str) -> Iterator[Window]:
    """Open a window for the length of a block."""
    page = browser.new_page(viewport=SIZE)
    try:
        yield Window(page, home)
    finally:
        page.close()


class Viewer:
    """OHIF in a window, with a study open."""

    def __init__(self, window: Window) -> None:
        self.window, self.page = window, window.page
        self.page.add_init_script(_NOT_THE_FIRST_TIME)

    def open(self, study_uid: str) -> None:
        """Open a study and wait until its images are there: a report that is opened before them is not always drawn."""
        self.page.goto(f"{self.window.home}/viewer?StudyInstanceUIDs={study_uid}")
        self.page.wait_for_selector(f"{_PANE} canvas")
        self.page.wait_for_function(f"() => {{ {_VIEWPORT} return viewport?.getCurrentImageId?.(); }}")
        self.page.wait_for_load_state("networkidle")

    def series(self) -> dict[str, str]:
        """Return the list of series: description -> modality."""
        names, kinds = (
            self.page.locator(f"{_SERIES} [data-cy=series-{one}-label]") for one in ("description", "modality")
        )
        return dict(zip(names.all_inner_texts(), kinds.all_inner_texts(), strict=True))

    def show(self, description: str) -> None:
        """Show the series of this description in the viewport, as a double click does."""
        self.page.locator(_SERIES).filter(has_text=description).dblclick()

    def text(self, title: str) -> str:
        """Return what stands in the viewport once it is the page of this title."""
        self.page.locator(_PANE).get_by_text(title).first.wait_for()
        return self.page.locator(_PANE).inner_text()

    def draw(self, study_uid: str, description: str) -> None:
        """Open a study anew and show a report of numbers that are drawn on its slices.

        Now and then OHIF stops at "Loading..." and draws nothing until it is opened anew (docs/viewers.md).
        """
        for _ in range(_OPENED):
            self.open(study_uid)
            self.show(description)
            if self.window.awaits(lambda: self.page.locator(_LINES).count() > 0, PATIENCE_S / 2):
                return
        raise AssertionError(f"nothing was drawn in {_OPENED} windows")

    def drawn_lines(self) -> set[str]:
        """Return the lines that a report has drawn on the slice, once there are some."""
        lines = self.page.locator(_LINES)
        lines.first.wait_for(state="attached")
        return set(lines.all_text_contents())

    def next_group(self, lines: set[str]) -> None:
        """Go on to the next group of a report by its arrow, and wait until other lines are drawn than these."""
        self.page.locator(f"{_PANE} div.text-highlight.cursor-pointer svg").last.click()
        self.window.awaits(lambda: self.drawn_lines() not in (set(), lines))

    def turn_to(self, sop_instance_uid: str) -> None:
        """Turn to a slice and wait until it is there."""
        index = self._ask("viewport.getImageIds().findIndex(one => one.includes(argument))", sop_instance_uid)
        self._ask("window.cornerstone.utilities.jumpToSlice(viewport.element, { imageIndex: argument })", index)
        self.page.wait_for_function(
            f"uid => {{ {_VIEWPORT} return viewport.getCurrentImageId().includes(uid); }}", arg=sop_instance_uid
        )

    def places(self, points_mm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return on which column and row of `picture` points of the patient lie, to the nearest pixel."""
        found = self._ask("argument.map(point => viewport.worldToCanvas(point))", points_mm.tolist())
        return np.rint(np.asarray(found)).astype(int)

    def picture(self) -> Pixels:
        """Return what the viewport shows."""
        box = self._ask("(({x, y, width, height}) => ({x, y, width, height}))(viewport.canvas.getBoundingClientRect())")
        with Image.open(BytesIO(self.page.screenshot(clip=box))) as image:
            return np.asarray(image.convert("RGB"), dtype=np.int16)

    def _ask(self, expression: str, argument: object = None) -> Any:
        return self.page.evaluate(f"argument => {{ {_VIEWPORT} return {expression}; }}", argument)

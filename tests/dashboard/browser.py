"""A headless Chromium for tests, with axe-core at hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

AXE = Path(__file__).parents[2] / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = 390

SHOTS = os.environ.get("GALERIST_SHOTS")
"""Folder for screenshots; none are kept without it."""


class Browser:
    """One tab. Finds by id; waits, generously, instead of trying again."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    def look(self, width: int = 1280, dark: bool = False) -> None:
        """As wide as a phone or a screen, light or dark."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": width <= PHONE},
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, id: str) -> str:
        return str(self.driver.find_element(By.ID, id).text)

    def texts(self, selector: str) -> list[str]:
        return [one.text for one in self.driver.find_elements(By.CSS_SELECTOR, selector)]

    def click(self, selector: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, selector: str, text: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(text)

    def until(self, condition: Callable[[], object], what: str, patience: float = 90.0) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {patience} s; the page says:\n{self.texts('body')}"
            time.sleep(0.05)

    def card(self, node: str) -> str:
        """The text of a node's card."""
        return next((text for text in self.texts(".card") if text.splitlines()[0] == node), "")

    def complaints(self) -> list[str]:
        """What the browser's console holds, without advice. Each is told once."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def accessibility(self, within: str = "html") -> list[str]:
        """What axe-core finds serious or critical in all of the page, or in what a selector names."""
        if not self.run("return 'axe' in window"):
            self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text()})
        script = "const done = arguments[1]; axe.run(arguments[0]).then(done);"
        found = self.driver.execute_async_script(script, within)
        return [
            f"{one['id']}: {one['help']} {[node['html'][:90] for node in one['nodes']][:3]}"
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def shot(self, name: str) -> None:
        """A picture of the whole page, if anybody wants them."""
        if SHOTS is None:
            return
        size = self.run("return [innerWidth, document.documentElement.scrollHeight]")
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": size[0],
                "height": min(max(size[1], 500), 1500),
                "deviceScaleFactor": 1,
                "mobile": size[0] <= PHONE,
            },
        )
        time.sleep(0.5)
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))

    def both_looks(self, name: str) -> list[str]:
        """What axe-core finds in light and dark, on a screen and on a phone."""
        found = []
        for width in (1280, PHONE):
            for dark in (False, True):
                self.look(width, dark)
                where = f"{name}-{'phone' if width == PHONE else 'wide'}-{'dark' if dark else 'light'}"
                found += [f"{where}: {one}" for one in self.accessibility()]
                wide = self.run("return document.documentElement.scrollWidth - innerWidth")
                if wide > 0:
                    found.append(f"{where}: the page is {wide} px wider than the screen")
                self.shot(where)
        self.look()
        return found


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, gone afterwards with all its files."""
    folder = tempfile.mkdtemp(prefix="galerist-browser-", dir="/tmp")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
        "--disable-background-networking", "--no-first-run", f"--user-data-dir={folder}", "--window-size=1280,900",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(120)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
        shutil.rmtree(folder, ignore_errors=True)

"""A real headless Chromium without a network, for the tests that open a report."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


class Found(NamedTuple):
    """Paths of the browser and of what drives it."""

    browser: str
    driver: str


def find_chromium() -> Found | None:
    """`CHROME`, or a Chromium on the path, with its chromedriver; None where there is none."""
    named = os.environ.get("CHROME")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    return Found(browser, driver) if browser and driver else None


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A WebDriver whose every connection fails."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        pytest.skip("selenium is not installed")
    found = find_chromium()
    if found is None:
        pytest.skip("no chromium and chromedriver on the path (Debian: chromium-driver; or CHROME)")
    options = webdriver.ChromeOptions()
    options.binary_location = found.browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(found.driver))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd(
        "Network.emulateNetworkConditions",
        {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0},
    )
    yield driver
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # selenium leaves its sockets to the end
        driver.quit()


class Page:
    """A report that is open in the browser."""

    def __init__(self, driver: Any, path: Path) -> None:
        self.driver = driver
        driver.get("about:blank")
        driver.get_log("browser")
        driver.get(path.resolve().as_uri())
        self.wait("return document.documentElement.dataset.ready === 'true'")

    def run(self, script: str) -> Any:
        """What a piece of JavaScript returns."""
        return self.driver.execute_script(script)

    def wait(self, script: str) -> None:
        """Until a piece of JavaScript returns true."""
        from selenium.webdriver.support.ui import WebDriverWait

        WebDriverWait(self.driver, 30, 0.02).until(lambda driver: driver.execute_script(script))

    def text(self, selector: str) -> str:
        """What a person reads there."""
        found: str = self.run(f"return document.querySelector({selector!r}).innerText")
        return found

    def choose(self, **values: str) -> None:
        """Choose by the words of the options, as a person does."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.support.ui import Select

        for name, words in values.items():
            element = self.driver.find_element(By.CSS_SELECTOR, f"#filters [name={name}]")
            Select(element).select_by_visible_text(words)

    def press(self, *keys: str) -> None:
        """Keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def shown(self) -> str:
        """The response in view, once its text is there."""
        self.wait("return document.querySelector('#detail h3') !== null")
        return self.text("#detail")

    def problems(self) -> list[str]:
        """The list, top to bottom."""
        script = "return [...document.querySelectorAll('.item > span:nth-child(2)')]"
        found: list[str] = self.run(script + ".map(each => each.textContent)")
        return found

    def complaints(self) -> list[str]:
        """What the console says."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

"""A real Chromium without a window, and pages to open in it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

from evalkit.analysis.between import contrast
from evalkit.result import EvalResult
from evalkit.sinks.html import REPORT, HtmlSink
from evalkit.sinks.html_pair import pair_page
from tests.pages import complete, hostile, sortable

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
RESULTS: dict[str, Callable[[], EvalResult]] = {"complete": complete, "hostile": hostile, "sortable": sortable}
PAGES = (*RESULTS, "pair")

Page = Callable[..., WebDriver]


@pytest.fixture(scope="module")
def driver() -> Iterator[WebDriver]:
    browser, server = next(filter(None, map(shutil.which, BROWSERS)), None), shutil.which("chromedriver")
    if browser is None or server is None:
        pytest.skip("Chromium or chromedriver is not installed (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options, webdriver.ChromeService(server))
    yield found
    found.quit()


@pytest.fixture(scope="session")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name -> address of a page that was drawn from it."""
    found = {}
    for name, make in RESULTS.items():
        folder = tmp_path_factory.mktemp(name)
        HtmlSink(include_texts=True).write(make(), folder)
        found[name] = (folder / REPORT).as_uri()
    pair = tmp_path_factory.mktemp("pair") / "compare.html"
    first, second = complete(), replace(complete(), run_id="</script><b>again</b>")
    pair.write_text(pair_page(contrast(first, second), first, second), encoding="utf-8")
    found["pair"] = pair.as_uri()
    return found


@pytest.fixture
def visit(driver: WebDriver, addresses: dict[str, str]) -> Page:
    """Open a page in a window of this size, scheme and medium; whatever was logged before is gone."""

    def opened(name: str, width: int = 1280, scheme: str = "light", media: str = "screen") -> WebDriver:
        device = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        command(driver, "Emulation.setDeviceMetricsOverride", **device)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        command(driver, "Emulation.setEmulatedMedia", media=media, features=[feature])
        for kind in ("browser", "performance"):
            driver.get_log(kind)  # type: ignore[no-untyped-call]
        driver.get(addresses[name])
        return driver

    return opened


def command(driver: WebDriver, name: str, **parameters: Any) -> Any:
    """One command of the DevTools protocol."""
    return driver.execute_cdp_cmd(name, parameters)  # type: ignore[attr-defined]


def requests(driver: WebDriver) -> list[str]:
    """What the page asked for since it was opened."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]  # type: ignore[no-untyped-call]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]


def axe() -> str:
    """The source of axe-core."""
    import axe_core_python

    return Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")

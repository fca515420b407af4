"""``report.html`` in a real browser: it asks for nothing, can be read by everybody, and does what it offers."""

from __future__ import annotations

import base64

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from tests.browser.conftest import PAGES, Page, axe, command, requests

TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; });"


def button(driver: WebDriver, title: str) -> WebElement:
    """Of the sweep, by the title of its column."""
    return driver.find_element(By.XPATH, f"//section[@id='depth']//button[.='{title}']")


def column(driver: WebDriver, title: str) -> list[str]:
    """The cells of the sweep below that title, from the top."""
    script = """
        const titles = [...document.querySelectorAll("#depth th[scope=col]")].map((one) => one.innerText);
        const place = titles.indexOf(arguments[0]);
        const cells = [...document.querySelectorAll("#depth tbody tr")].map((row) => row.cells[place]);
        return cells.map((cell) => (cell.querySelector("bdi") ?? cell).innerText);
    """
    found: list[str] = driver.execute_script(script, title)
    return found


def sorts(driver: WebDriver) -> dict[str, str]:
    """Title -> aria-sort, of the columns that have one."""
    script = (
        "return Object.fromEntries([...document.querySelectorAll('#depth th[aria-sort]')]"
        ".map((one) => [one.innerText, one.ariaSort]));"
    )
    found: dict[str, str] = driver.execute_script(script)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_said_on_the_console_and_nothing_is_asked_of_anybody(
    visit: Page, addresses: dict[str, str], name: str
) -> None:
    """A page that is printed, sorted and searched, too; no hostile text runs."""
    driver = visit(name)
    driver.execute_script(OPEN_ALL)
    button(driver, "points").click()
    for found in driver.find_elements(By.ID, "filter"):
        found.send_keys("q4")
    command(driver, "Page.printToPDF")
    assert requests(driver) == [addresses[name]]
    assert driver.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert driver.execute_script("return document.images.length + document.scripts.length") == 1


SORTED = {
    "points": (["+10.0", "+6.6", "+2.0", "-0.5", "–"], ["-0.5", "+2.0", "+6.6", "+10.0", "–"]),
    "p": (["0.500", "0.040", "0.001", "< 0.001", "–"], ["< 0.001", "0.001", "0.040", "0.500", "–"]),
    "W/T/L": (
        ["100/200/3", "24/275/4", "9/290/4", "3/300/10", "–"],
        ["3/300/10", "9/290/4", "24/275/4", "100/200/3", "–"],
    ),
    "captured": (["100 %", "46 %", "5 %", "–", "–"], ["5 %", "46 %", "100 %", "–", "–"]),
}
"""Title -> cells after one click, and after two."""


@pytest.mark.parametrize("title", SORTED)
def test_a_click_sorts_by_number_largest_first_and_another_one_turns_it(visit: Page, title: str) -> None:
    driver = visit("sortable")
    assert sorts(driver) == {}
    for expected, order in zip(SORTED[title], ("descending", "ascending"), strict=True):
        button(driver, title).click()
        assert column(driver, title) == expected
        assert sorts(driver) == {title: order}


def test_names_sort_from_the_first_with_the_numbers_in_them_as_numbers(visit: Page) -> None:
    driver = visit("sortable")
    button(driver, "points").click()
    rising = ["dense", "rerank@6", "rerank@7", "rerank@8", "rerank@10"]
    for expected, order in ((rising, "ascending"), (rising[::-1], "descending")):
        button(driver, "system").click()
        assert column(driver, "system") == expected
        assert sorts(driver) == {"system": order}


@pytest.mark.parametrize("key", [Keys.ENTER, Keys.SPACE])
def test_tables_sort_from_the_keyboard(visit: Page, key: str) -> None:
    driver = visit("sortable")
    driver.execute_script("document.querySelector('#depth .scroll').focus()")
    driver.switch_to.active_element.send_keys(Keys.TAB)
    assert driver.switch_to.active_element.text == "system"
    driver.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB)
    assert driver.switch_to.active_element.text == "points"
    driver.switch_to.active_element.send_keys(key)
    assert column(driver, "points") == SORTED["points"][0]
    assert driver.switch_to.active_element.text == "points"


def test_the_filter_leaves_the_queries_that_hold_the_words(visit: Page) -> None:
    driver = visit("complete")
    field = driver.find_element(By.ID, "filter")
    entries = driver.find_elements(By.CSS_SELECTOR, "#examples details")
    assert len(entries) == 15
    assert all(entry.is_displayed() for entry in entries)
    field.send_keys("LOST")
    assert [entry.is_displayed() for entry in entries] == [False] * 10 + [True] * 5
    assert driver.find_element(By.TAG_NAME, "output").text == "5 of 15"
    field.send_keys(" nowhere")
    assert not any(entry.is_displayed() for entry in entries)
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.BACKSPACE)
    assert all(entry.is_displayed() for entry in entries)
    assert driver.find_element(By.TAG_NAME, "output").text == ""


def test_an_example_opens_from_the_keyboard(visit: Page) -> None:
    driver = visit("complete")
    quoted = driver.find_element(By.CSS_SELECTOR, "#examples blockquote")
    assert not quoted.is_displayed()
    driver.find_element(By.ID, "filter").send_keys(Keys.TAB)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    assert quoted.is_displayed()
    assert quoted.text == "A passage about q45-answer.\nIts second line."


def test_the_keyboard_can_skip_to_the_details(visit: Page) -> None:
    driver = visit("complete")
    driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    first = driver.switch_to.active_element
    assert first.text == "Skip to the details"
    assert first.rect["x"] >= 0
    first.send_keys(Keys.ENTER)
    assert driver.current_url.endswith("#sure")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_no_window_is_too_narrow(visit: Page, name: str, width: int) -> None:
    """Tables scroll in their own frame; figures and words stay within the page."""
    driver = visit(name, width=width)
    driver.execute_script(OPEN_ALL)
    assert driver.execute_script(f"return {TOO_WIDE}") == 0
    script = (
        "return [...document.querySelectorAll('svg, p, li, summary, blockquote, pre')]"
        ".filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5).length"
    )
    assert driver.execute_script(script) == 0


def test_the_texts_of_figures_can_be_read_on_a_phone(visit: Page) -> None:
    driver = visit("complete", width=360)
    script = (
        "return Math.min(...[...document.querySelectorAll('svg text')].map((one) => "
        "parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a))"
    )
    assert driver.execute_script(script) >= 8.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_scheme_of_the_reader(visit: Page, scheme: str) -> None:
    driver = visit("complete", scheme=scheme)
    script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
    colors = {"page": ("body", "background-color"), "words": ("body", "color"), "figures": ("svg", "color")}
    found = {name: driver.execute_script(script, *place) for name, place in colors.items()}
    dark, light = found["page"], found["words"]
    if scheme == "light":
        dark, light = light, dark
    assert max(map(int, dark[4:-1].split(","))) < 64
    assert min(map(int, light[4:-1].split(","))) > 192
    assert found["figures"] == found["words"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_the_language_table_are_blue_for_a_gain_and_orange_for_a_loss(visit: Page, scheme: str) -> None:
    """Over the page in either scheme; that words can be read on them is what axe looks at."""
    driver = visit("complete", scheme=scheme)
    script = """
        const cell = document.querySelector(`.matrix td.${arguments[0]}`);
        return [getComputedStyle(cell).backgroundColor, cell.innerText.split("\\n")[0]];
    """
    assert driver.execute_script(script, "gain") == ["rgba(0, 114, 178, 0.6)", "+30.0"]
    assert driver.execute_script(script, "loss") == ["rgba(213, 94, 0, 0.498)", "-25.0"]
    assert driver.execute_script(script, "even") == ["rgba(0, 0, 0, 0)", "~ +0.0"]


def test_the_language_table_keeps_its_rows_in_sight_on_a_phone(visit: Page) -> None:
    """Its columns scroll below the first one, and titles of columns move with them."""
    driver = visit("hostile", width=360)
    script = """
        const frame = document.querySelector(".matrix").parentElement;
        const place = (selector) => frame.querySelector(selector).getBoundingClientRect().left;
        const before = [place("tbody th"), place("thead tr + tr th")];
        frame.scrollLeft = 100;
        return [place("tbody th") - before[0], place("thead tr + tr th") - before[1]];
    """
    assert driver.execute_script(script) == [0, -100]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["complete", "hostile", "pair"])
def test_axe_finds_nothing_that_keeps_anybody_out(visit: Page, name: str, scheme: str) -> None:
    driver = visit(name, scheme=scheme)
    driver.execute_script(OPEN_ALL)
    driver.execute_script(axe())
    found = driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    assert len(found["passes"]) > 25
    assert [
        (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]
    ] == []


def test_on_paper_everything_lies_open_and_is_closed_again_afterwards(visit: Page) -> None:
    driver = visit("complete")
    count = "document.querySelectorAll('details:not([open])').length"
    closed = driver.execute_script(
        f"addEventListener('beforeprint', () => {{ window.closed_on_paper = {count}; }}); return {count}"
    )
    assert closed > 15
    printed = base64.b64decode(command(driver, "Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF-")
    assert driver.execute_script("return window.closed_on_paper") == 0
    assert driver.execute_script(f"return {count}") == closed


def test_on_paper_no_word_is_cut_and_nothing_is_only_for_the_screen(visit: Page) -> None:
    """A page of 180 mm is 680 pixels wide."""
    driver = visit("complete", width=680, scheme="dark", media="print")
    driver.execute_script(OPEN_ALL)
    assert driver.execute_script(f"return {TOO_WIDE}") == 0
    script = (
        "return [...document.querySelectorAll('.scroll, blockquote, pre')]"
        ".filter((one) => one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1).length"
    )
    assert driver.execute_script(script) == 0
    for selector in ("nav", ".filter", ".skip"):
        assert not driver.find_element(By.CSS_SELECTOR, selector).is_displayed()
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    unbroken = driver.execute_script(
        "return ['figure', 'tr', '.verdict', '#examples details']"
        ".map((one) => getComputedStyle(document.querySelector(one)).breakInside)"
    )
    assert unbroken == ["avoid"] * 4

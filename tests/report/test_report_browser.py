"""The report in a real Chromium: pictures, line, tables, charts, light and dark, phone, print.

Chromium and its driver are Debian's packages (apt install chromium chromium-driver); Selenium is
fetched into a folder of its own. Without any of them these tests are skipped.
"""
import pytest

pytest.importorskip("caffe")
pytest.importorskip("jinja2", reason="jinja2 is missing: python3 tools/setup_caffe.py")

from data.errors import InputError
from tools.bench.chromium import open_chromium, show
from tools.lib.report.report_command import main

from made_runs import add_filmstrip, add_snapshot, make_run, write_result

EVIL = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
#: The same as the name of a file, which holds no slash.
EVIL_FILE = "<img src=x onerror='window.hacked = 1'>"
#: Contrast of normal text against its background: WCAG 2, level AA.
ENOUGH = 4.5
#: Ratio of the luminances of an element's colour and of the background behind it.
CONTRAST = """
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v =>
    v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) =>
    sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = node => {
  const colour = rgb(getComputedStyle(node).backgroundColor);
  return colour.length > 3 && colour[3] === 0 ? behind(node.parentElement) : colour;
};
const [a, b] = [light(rgb(getComputedStyle(arguments[0]).color)), light(behind(arguments[0]))];
return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
"""


@pytest.fixture(scope="module")
def chromium():
    """A Chromium without a window; skips where there is none."""
    try:
        started = open_chromium()
    except InputError as problem:
        pytest.skip(str(problem))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Address of a report of three runs with hostile names, two frames and three nets."""
    folder = tmp_path_factory.mktemp("report")
    before = make_run(folder / "toy_source", "source", command=["python3", EVIL])
    weights = add_snapshot(before, 200, seed=1)
    runs = [before]
    for seed in (1, 2):
        runs.append(make_run(folder / f"toy_ga_ca{seed}", "ga_ca", seed, weights=[weights]))
        add_snapshot(runs[-1], 200, seed=2)
    runs.append(make_run(folder / "mine", solver=f"solvers/{EVIL_FILE}.prototxt", iterations=400))
    add_snapshot(runs[-1], 200, seed=3)
    add_filmstrip(before, [0, 100], names=[EVIL], classes=[EVIL])
    for run in runs:
        found = write_result(run)
        write_result(run, classes=[EVIL] + found["classes"][1:])
    output = folder / "report.html"
    main([*runs, "--output", str(output), "--frames", "2", "--among", "3"])
    return output.as_uri()


@pytest.fixture
def opened(chromium, page):
    """The page, opened anew in a window of a laptop's size, in light colours."""
    show(chromium, page)
    return chromium


def find(browser, selector):
    return browser.find_element("css selector", selector)


def texts(browser, selector):
    return [found.text for found in browser.find_elements("css selector", selector)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_opens_without_errors_and_never_scrolls_sideways(chromium, page, scheme, width):
    chromium.get_log("browser")
    show(chromium, page, scheme, width)
    assert chromium.get_log("browser") == []
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
    assert chromium.execute_script("return window.hacked") is None


def test_every_picture_loads(opened):
    sizes = opened.execute_script(
        "return [...document.images].map(image => [image.complete, image.naturalWidth])")
    assert len(sizes) == 2 * 5 + 3 and all(complete and width > 0 for complete, width in sizes)


def test_hostile_names_are_shown_as_they_are(opened):
    assert EVIL in texts(opened, "#scores tbody th") and EVIL_FILE in find(opened, "h1").text


def test_the_line_moves_by_keyboard_and_by_pointer(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys
    slider, right = find(opened, ".stack input"), find(opened, ".stack img.right")
    assert slider.accessible_name.startswith("Line between before and after, frame target_val/")
    clip = right.value_of_css_property("clip-path")
    slider.send_keys(Keys.ARROW_RIGHT * 10)
    assert slider.get_attribute("value") == "60"
    moved = right.value_of_css_property("clip-path")
    assert "60%" in moved and moved != clip
    ActionChains(opened).move_to_element_with_offset(slider, slider.size["width"] // 4, 0) \
        .click().perform()
    assert 65 < float(slider.get_attribute("value")) < 85
    handle, stack = find(opened, ".handle").rect, find(opened, ".stack").rect
    assert 0.65 < (handle["x"] - stack["x"]) / stack["width"] < 0.85


def test_any_two_nets_can_be_compared(opened):
    from selenium.webdriver.support.select import Select
    before = find(opened, ".stack img.left").get_attribute("src")
    Select(find(opened, "select[data-side=left]")).select_by_index(2)
    assert find(opened, ".stack img.left").get_attribute("src") != before
    assert len(opened.find_elements("css selector", ".stack img.left")) == 2
    names = texts(opened, "select[data-side=left] option")
    assert set(texts(opened, "[data-name=left]")) == {names[2]}


def test_tables_sort_by_any_column_and_the_means_stay_below(opened):
    def column(number):
        return texts(opened, f"#scores table:first-of-type tbody tr > :nth-child({number})")

    table = find(opened, "#scores table")
    buttons = table.find_elements("css selector", "thead button")
    foot = table.find_element("css selector", "tfoot").text
    buttons[1].click()
    values = [float(text.split()[0]) for text in column(2)[:8] if text != "nan"]
    assert values == sorted(values, reverse=True) and len(values) > 5
    assert table.find_element("css selector", "[aria-sort]").get_attribute("aria-sort") \
        == "descending"
    buttons[1].click()
    assert [float(text.split()[0]) for text in column(2)[:8] if text != "nan"] == values[::-1]
    buttons[0].click()
    names = column(1)[:8]
    assert names[1:] == sorted(names[1:]) and names[0] == EVIL
    assert table.find_element("css selector", "tfoot").text == foot


def test_charts_are_read_by_the_arrow_keys(opened):
    from selenium.webdriver.common.keys import Keys
    chart = find(opened, ".chart svg")
    assert "whole loss" in chart.accessible_name
    chart.send_keys(Keys.ARROW_LEFT)
    reading = find(opened, ".chart .reading")
    assert reading.is_displayed() and reading.text.startswith("iteration 392")
    chart.send_keys(Keys.ARROW_LEFT * 30)
    assert "iteration 152" in reading.text and "source only" in reading.text
    chart.send_keys(Keys.ESCAPE)
    assert not reading.is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_background(chromium, page, scheme):
    show(chromium, page, scheme)
    weak = []
    for selector in ("h1", ".note", ".kicker", "nav a", "summary", ".card dt", ".card dd", "td",
                     "thead button", "figcaption", ".chart figcaption", ".key li", "code", "select",
                     "h3 small", ".going", ".size span", ".ticks b"):
        for element in chromium.find_elements("css selector", selector)[:3]:
            ratio = chromium.execute_script(CONTRAST, element)
            if ratio < ENOUGH:
                weak.append((selector, round(ratio, 2)))
    assert weak == []
    background = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


def test_print_shows_before_and_after_side_by_side(chromium, page):
    show(chromium, page, "dark", media="print")
    left, right = (find(chromium, f".stack img.{side}").rect for side in ("left", "right"))
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]
    assert find(chromium, ".stack img.right").value_of_css_property("clip-path") == "none"
    assert not find(chromium, ".stack input").is_displayed()
    background = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"

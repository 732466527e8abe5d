"""A Chromium without a window, driven by Selenium: for the report's tests and its picture.

Chromium and its driver are Debian's packages; Selenium is fetched into a folder of its own.
"""
import base64
import os
import shutil
import sys

from data.errors import InputError
from data.files import ROOT
from tools.bench.official import pinned_package

LOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "selenium.lock")
FOLDER = os.path.join(ROOT, ".selenium")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVER = "chromedriver"
#: Pixels of the window's height.
HEIGHT = 900


def open_chromium():
    """A Selenium driver of the machine's Chromium; its user calls quit().

    Raises InputError without Chromium, and when pip cannot fetch Selenium.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which(DRIVER)
    if not browser or not driver:
        raise InputError("there is no Chromium with its driver on this machine",
                         "apt install chromium chromium-driver")
    folder = pinned_package(FOLDER, LOCK, 120, one_python=True)
    if folder not in sys.path:
        # at the end: the runtime's own packages come first
        sys.path.append(folder)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    # in containers root has no sandbox, and /dev/shm is small
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


def show(browser, address, scheme="light", width=1200, media=""):
    """Opens a page. scheme: "light" or "dark"; width: pixels, below 600 a phone; media: "print"."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", dict(
        width=width, height=HEIGHT, deviceScaleFactor=1, mobile=width < 600))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", dict(
        media=media, features=[dict(name="prefers-color-scheme", value=scheme)]))
    browser.get(address)


def picture(browser, section, height):
    """PNG as bytes of the open page from the element `section`, a CSS selector, downwards.

    height: pixels.
    """
    width, top = browser.execute_script(
        "return [innerWidth, document.querySelector(arguments[0]).getBoundingClientRect().top]",
        section)
    taken = browser.execute_cdp_cmd("Page.captureScreenshot", dict(
        captureBeyondViewport=True, clip=dict(x=0, y=top, width=width, height=height, scale=1)))
    return base64.b64decode(taken["data"])

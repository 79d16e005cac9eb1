"""A person signs in at a real identity provider, in a real browser, and signs out of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from pipeline.settings import Settings
from tests.support.browser_pages import Open, assert_no_complaints, shoot, text, wait_for
from tests.support.oidc_provider import OidcProvider
from tests.support.threaded_server import serving

RULES = json.dumps([{"claim": "groups", "contains": "data-team", "role": "uploader", "datasets": ["places"]}])


def click(browser: webdriver.Chrome, selector: str) -> None:
    browser.find_element(By.CSS_SELECTOR, selector).click()


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=pytest.mark.thorough)])
def test_a_person_signs_in_and_out(
    settings: Settings, oidc: OidcProvider, open_browser: Open, shots: Path, scripts: bool
) -> None:
    with serving(settings.model_copy(update=oidc.settings(oidc_rules=RULES))) as url:
        oidc.setup(redirect_uris=[f"{url}/sign-in/sso/callback"])
        browser = open_browser(scripts=scripts)
        browser.get(f"{url}/imports")
        wait_for(browser, ".door .button", "Sign in with Example ID")
        assert_no_complaints(browser)
        click(browser, ".door .button")
        wait_for(browser, "h1", "Sign-in")
        browser.find_element(By.NAME, "login").send_keys("ada")
        browser.find_element(By.NAME, "password").send_keys("any")
        click(browser, "button[type=submit]")
        wait_for(browser, ".who", "Ada Example")
        assert text(browser, "h1") == "Imports" and browser.current_url == f"{url}/imports"
        browser.get_log("browser")  # what the provider's page misses is not ours
        click(browser, "a[href='/']")
        wait_for(browser, "h1", "Upload a file")
        shoot(browser, shots / f"sso-signed-in-{scripts}.png")
        assert_no_complaints(browser)
        click(browser, ".who button")
        wait_for(browser, "h1", "Do you want to sign-out")
        click(browser, "button[value=yes]")
        wait_for(browser, ".door h1", "Sign in")
        assert browser.current_url.startswith(f"{url}/sign-in")
        click(browser, ".door .button")
        wait_for(browser, "h1", "Sign-in")  # the provider knows the browser no more


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (390, True)])
def test_the_page_for_signing_in(
    settings: Settings, oidc: OidcProvider, open_browser: Open, shots: Path, width: int, dark: bool
) -> None:
    for required in (False, True):
        own = settings.model_copy(update=oidc.settings(oidc_rules=RULES, oidc_required=required))
        with serving(own) as url:
            browser = open_browser(width=width, dark=dark)
            browser.get(f"{url}/sign-in")
            assert browser.find_element(By.ID, "key").is_displayed() is not required
            widths = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
            assert widths[0] <= widths[1]
            shoot(browser, shots / f"sso-{width}-{required}.png")
            browser.get(f"{url}/sign-in/sso/callback?state=x")
            wait_for(browser, ".alarm", "began in another browser")
            shoot(browser, shots / f"sso-refused-{width}-{required}.png")

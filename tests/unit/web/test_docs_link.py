"""The link from every page to the documents."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.settings import Settings
from web import create_app


def page(docs_url: str) -> str:
    """The page for signing in, which needs no server."""
    made = Settings(_env_file=None, secret_key="x" * 40, database_url="postgresql://docs@127.0.0.1/docs", docs_url=docs_url)  # type: ignore[call-arg]
    return create_app(made).test_client().get("/sign-in").get_data(as_text=True)


def test_a_page_links_to_the_documents_where_they_are() -> None:
    assert '<a class="help" href="https://docs.example.org/bulkhead/?a=1&amp;b=2"' in page(
        "https://docs.example.org/bulkhead/?a=1&b=2"
    )


def test_without_an_address_there_is_no_link() -> None:
    assert 'class="help"' not in page("")


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//docs.example.org", 'https://a"onclick="b', "docs.example.org"])
def test_another_kind_of_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        page(url)

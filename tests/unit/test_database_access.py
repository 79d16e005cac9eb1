"""Every connection is made as the settings say: with the pooler and the tokens that are beside the URL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.adapters.postgres_access import to_database, to_replica
from pipeline.adapters.postgres_advice import advice_for
from pipeline.settings import ROOT, Settings

BARE = re.compile(r"\b(connect|liveness_of|require|migrate|metrics_engine)\(\s*(needed\()?_?settings\.(database|read)\w*url")


def test_no_engine_is_made_from_a_bare_url_of_the_settings() -> None:
    files = [path for folder in ("pipeline", "web", "lambda") for path in (ROOT / folder).rglob("*.py")]
    found = [path.name for path in files if BARE.search(path.read_text(encoding="utf-8"))]
    assert len(files) > 100
    assert not found, "use to_database(settings) or to_replica(settings), or a pooler and tokens are forgotten"


def test_a_bare_url_would_be_found() -> None:
    assert BARE.search('postgres.connect(settings.database_url, name="x")')
    assert BARE.search("liveness_of(settings.read_url)")


def test_settings_count_for_all_urls(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        database_url="postgresql://u@a/x",
        database_read_url="postgresql://u@b/x",
        database_pooler="transaction",
        database_iam="aws",
    )
    for access, host in ((to_database(settings), "a"), (to_replica(settings), "b")):
        assert access.pooled and access.tokens is not None and access.parsed.host == host
    plain = to_database(Settings(home=tmp_path, database_url="postgresql://u:p@a/x"))
    assert not plain.pooled and plain.secret() == {}


@pytest.mark.parametrize(
    "said, advice",
    [
        ('server certificate for "db" does not match host name "other"', "Use the name"),
        ("SSL error: certificate verify failed", "Renew it"),
        ("server does not support SSL, but SSL was required", "ssl = on"),
        ('no pg_hba.conf entry for host "::1", user "u", database "d", no encryption', "sslmode=verify-full"),
        ('no pg_hba.conf entry for host "::1", user "u", database "d", SSL encryption', "pg_hba.conf has no line"),
        ('password authentication failed for user "u"', "Check the user"),
        ("FATAL:  PAM authentication failed for user", "rds_iam"),
        ("connection timeout expired", "host and port"),
        ("something else", ""),
    ],
)
def test_what_libpq_says_is_followed_by_what_to_do(said: str, advice: str) -> None:
    assert advice in advice_for(said) if advice else advice_for(said) == ""

"""What is chosen on the upload page, before a file can be read like that."""

from __future__ import annotations

from web.pages.upload_choices import Choices


def test_columns_that_would_become_the_same_one_are_not_settled() -> None:
    chosen = Choices(columns={"Code": "id", "Parent": "parentId", "Boss": "parentId", "Note": "", "Remark": ""})
    assert chosen.settled == {"Code": "id", "Note": "", "Remark": ""}

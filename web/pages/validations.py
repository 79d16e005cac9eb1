"""The pages of Data Docs of a dataset: all validation runs, and the suite in words. A run's page is the import's report."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from pipeline.datasets.dataset import Dataset
from pipeline.ledger.api_keys import Role
from web.http.auth import for_role
from web.pages import trend_charts
from web.services import key_scope, suite_in_words
from web.services.validation_runs import misses_of, validation_runs

RUNS_SHOWN = 50

pages = Blueprint("validation_pages", __name__)


def show_runs(dataset: Dataset, before: str | None) -> str:
    """Return the page of the validation runs that are older than the import ``before``, or of the newest. Raises Problem."""
    runs, older = validation_runs(dataset, before, RUNS_SHOWN)
    return render_template(
        "validations.html",
        dataset=dataset,
        runs=runs,
        older=older,
        is_first=before is None,
        charts=trend_charts.charts(runs),
        codes=trend_charts.by_code(runs),
        misses=misses_of(runs),
        known_runs=sum(1 for run in runs if run.expectations),
    )


@pages.get("/datasets/<name:dataset>/suite")
@for_role(Role.READER)
def suite_page(dataset: str) -> ResponseReturnValue:
    """Show in words what is expected of a dataset's files, and what became of it in the last ones."""
    known = key_scope.dataset(dataset)
    runs, _ = validation_runs(known, None, RUNS_SHOWN)
    misses = {(one.rule, one.column): one for one in misses_of(runs)}
    return render_template(
        "suite.html",
        dataset=known,
        groups=[
            ("Values", "expectations/" + known.name + ".json", suite_in_words.expectations(known)),
            ("Hierarchy", "in every dataset, and as its suite declares", suite_in_words.tree_rules(known)),
            ("Checks of this dataset", f"sql/checks/{known.name}/", suite_in_words.own_checks(known)),
        ],
        misses=misses,
        known_runs=sum(1 for run in runs if run.expectations),
    )

"""Great Expectations starts without what few expectations need, and has it when one of them does."""

from __future__ import annotations

import subprocess
import sys

from pipeline.settings import ROOT

STARTS = """
import sys
import pipeline.validate.expectations
assert not {"scipy.stats._stats_py", "altair.vegalite", "jsonschema.validators"} & set(sys.modules)
from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as divergence
print(round(float(divergence.stats.entropy([0.5, 0.5])), 3), divergence.alt.Chart.__name__)
from great_expectations.expectations.metrics.column_map_metrics import column_values_match_json_schema as matching
print(matching.jsonschema.Draft7Validator({"type": "object"}).is_valid({}))
import scipy.stats
print(scipy.stats.norm.name, scipy.stats.__name__)
from pipeline.validate.deferred_import import defer_import
defer_import("scipy.stats")
assert sys.modules["scipy.stats"].__file__
sys.stdout.flush()
import os
os._exit(0)
"""


def test_a_module_is_loaded_when_something_of_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "0.693 Chart\nTrue\nnorm scipy.stats\n", done.stderr

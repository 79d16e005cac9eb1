"""Have each process of a run compile the web app's routes and templates once, and not once for each test that makes an app.

An app that is made for a test compiles some 150 routes, each into two functions, and each template that it renders: a third of
the CPU time of a test that shows a page. What is kept is what the compilers return, by all that they read.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CodeType
from typing import Any

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from werkzeug.routing import Rule


def compile_once() -> None:
    """Keep compiled routes and templates for all apps of this process."""
    Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": _Templates()}
    Rule._compile_builder = _kept(Rule._compile_builder)  # type: ignore[method-assign]


class _Templates(BytecodeCache):
    """Compiled templates by their name and source."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._codes[bucket.key, bucket.checksum] = bucket.code


def _kept(compile_builder: Callable[[Rule, bool], Any]) -> Callable[[Rule, bool], Any]:
    """The function that builds a rule's URL takes the rule as an argument: equal rules of two apps may share it."""
    made: dict[object, Any] = {}

    def once(rule: Rule, append_unknown: bool = True) -> Any:
        if rule.defaults:  # these are in the function, as each app's converters write them
            return compile_builder(rule, append_unknown)
        key = (rule.rule, tuple(rule._trace), append_unknown)
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    return once

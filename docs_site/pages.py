"""The pages of the reference that are made from the code, as Markdown."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import groupby
from pathlib import Path
from types import NoneType
from typing import Any, get_args

from docs_site import licence_list

ROOT = Path(__file__).resolve().parents[1]


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell(one) for one in line) + " |" for line in lines) + "\n"


def cell(text: str) -> str:
    """Return a text for a cell: on one line, and with no character that would end the cell or begin HTML."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


def code(text: object) -> str:
    """Return a text as code."""
    return f"`{text}`"


# --- settings ---


def settings() -> str:
    """Return all settings by section, with default and comment."""
    from pipeline.setting_texts import setting_texts
    from pipeline.settings import Settings

    parts = ["# Settings", "Environment variables; [.env.example](../.env.example) has the rules and the same texts."]
    known = setting_texts(Settings.model_construct())
    for section, texts in groupby(known, lambda one: one.section):
        rows = [(code(one.name), "secret" if one.is_secret else one.default, one.description) for one in texts]
        parts += [f"## {section}", table(("name", "default", "what it does"), rows)]
    return "\n\n".join(parts)


# --- command line ---


def command_line() -> str:
    """Return every command with its arguments and options."""
    from typer.main import get_command

    from pipeline.cli.commands import app

    codes = "0 ok, 1 error, 2 usage, 3 rejected, 4 partially succeeded, 5 canceled, 6 timed out, 7 unreachable, 130 interrupted"
    return "\n\n".join(["# Command line", f"Exit codes: {codes}.", *_commands(get_command(app), "bulkhead")])


def _commands(command: Any, name: str) -> Iterator[str]:
    if (below := getattr(command, "commands", None)) is not None:
        for each, one in below.items():
            if not one.hidden:
                yield from _commands(one, f"{name} {each}")
        return
    yield f"## {name}"
    yield "\n".join(line.strip() for line in (command.help or "").splitlines())
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    rows = [(code(", ".join([*one.opts, *one.secondary_opts])), _kind(one), getattr(one, "help", "") or "") for one in shown]
    if rows:
        yield table(("argument or option", "value", "meaning"), rows)


def _kind(parameter: Any) -> str:
    if getattr(parameter, "is_flag", False):
        return ""
    if parameter.metavar:
        return str(parameter.metavar)
    kind = parameter.type_descriptor.annotation
    named = (kind, *get_args(kind))
    choices = [one.value for each in named if isinstance(each, type) and issubclass(each, Enum) for one in each]
    names = [each.__name__ for each in get_args(kind) or named if isinstance(each, type) and each is not NoneType]
    shown = ", ".join(code(one) for one in choices) or " or ".join(names)
    return shown + (
        "" if parameter.default is None or callable(parameter.default) else f" (default: {_written(parameter.default)})"
    )


def _written(default: Any) -> str:
    value = getattr(default, "value", default)
    return code(value) if value not in ("", (), []) else "none"


# --- API ---


def openapi() -> dict[str, Any]:
    """Return the OpenAPI document. No server is connected to."""
    from pipeline.settings import Settings
    from web import create_app
    from web.api.openapi import document

    made = Settings.model_construct(secret_key="x" * 64, database_url="postgresql://docs@127.0.0.1/docs")
    app = create_app(made)
    with app.app_context():
        return document()


def api() -> str:
    """Return every route with its parameters and answers."""
    document = openapi()
    by_tag: dict[str, list[str]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            by_tag[route["tags"][0]].append(_route(f"{method.upper()} {path}", route))
    intro = "Send `Authorization: Bearer KEY`. The web app has this with schemas and examples at `/docs`, and as OpenAPI at"
    parts = ["# API", f"{intro} `/openapi.json`. Errors: [problems](problems.md)."]
    for tag, routes in by_tag.items():
        parts += [f"## {tag[:1].upper()}{tag[1:]}", *routes]
    parts += ["## Webhooks", "What Bulkhead sends to recipients. The web app says at `/docs/webhooks` how to verify it."]
    messages = [(code(name), item["post"]["summary"]) for name, item in document["webhooks"].items()]
    parts.append(table(("type", "sent when"), messages))
    return "\n\n".join(parts).replace("(problems.md)", "(reference/problems.md)")


def _route(address: str, route: dict[str, Any]) -> str:
    parts = [f"### {route['summary']}", code(address), escaped(route.get("description", ""))]
    rows = [
        (code(one["name"]), one["in"] + (", required" if one.get("required") else ""), one.get("description", ""))
        for one in route.get("parameters", [])
    ]
    if rows:
        parts.append(table(("parameter", "in", "meaning"), rows))
    good = [f"{status} ({answer['description']})" for status, answer in route["responses"].items() if status < "400"]
    bad = [code(name) for status, answer in route["responses"].items() if status >= "400" for name in _codes(answer)]
    return "\n\n".join([*filter(None, parts), f"Answers: {escaped('; '.join(good))}. Problems: {', '.join(bad)}."])


def _codes(answer: dict[str, Any]) -> list[str]:
    (content,) = list(answer.get("content", {}).values())[:1] or [{}]
    return list(content.get("examples", {}))


def escaped(text: str) -> str:
    """Return a text in which no HTML begins."""
    return text.replace("<", "&lt;")


def problems() -> str:
    """Return all problem types of the API."""
    from web.http.problems import PROBLEM_TYPES

    rows = [(code(name), str(int(one.status)), one.title, one.advice) for name, one in PROBLEM_TYPES.items()]
    intro = "Errors are problem documents (RFC 9457) with one of these as `code`. The web app has this list at `/problems`."
    return "\n\n".join(["# Problems of the API", intro, table(("code", "status", "what is wrong", "what to do"), rows)])


# --- metrics ---


def metrics() -> str:
    """Return all metrics of Bulkhead's own."""
    from pipeline.telemetry import catalog
    from pipeline.telemetry.metric import Metric

    known = {one.name: one for one in vars(catalog).values() if isinstance(one, Metric)}
    rows = [
        (code(one.name), one.kind.value, ", ".join(one.labels), ", ".join(map(str, one.programs)), one.help)
        for one in known.values()
    ]
    header = ("name", "type", "labels", "served by", "meaning")
    return "\n\n".join(["# Metrics", "How to switch them on, and alerts: [monitoring](monitoring.md).", table(header, rows)])


# --- others ---


def promises() -> str:
    """Return the promises of README.md with the tests that show them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## What you can rely on\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    intro = "Each promise is shown by a test; [security](security.md#checklist) lists each control of access with its test."
    return f"# Promises and proofs\n\n{intro}\n\n{section}"


def decisions() -> str:
    """Return the list of decisions."""
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    titles = [(file, file.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")) for file in files]
    intro = "What was decided, why, and what was considered."
    return "\n".join(["# Decisions", "", intro, "", *(f"- [{title}](decisions/{file.name})" for file, title in titles), ""])


def licences() -> str:
    """Return the licences of what Bulkhead needs at run time."""
    rows = [(code(one.name), one.version, one.licence) for one in licence_list.runtime()]
    intro = (
        "Of all packages in `requirements.txt` that are installed where this page was made. `make licences` writes them as CSV."
    )
    return "\n\n".join(["# Licences", intro, table(("package", "version", "licence"), rows)])

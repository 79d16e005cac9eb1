"""The templates in deploy/aws/: read, and resolved for given parameters as CloudFormation resolves them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "aws"
TEMPLATES = sorted(FOLDER.glob("*.yaml"))

REGION, ACCOUNT = "eu-central-1", "123456789012"
PSEUDO = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": "bulkhead",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()
"""``AWS::NoValue``: the property, or the element of a list, is left out."""


class _Loader(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation's functions."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        given: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        given = loader.construct_sequence(node, deep=True)
    else:
        given = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    if suffix == "GetAtt" and isinstance(given, str):
        given = given.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": given}


_Loader.add_multi_constructor("!", _function)


@cache
def read(file: str) -> dict[str, Any]:
    """Return the template of that name in deploy/aws/, as it is written. It is shared: do not change it."""
    loaded: dict[str, Any] = yaml.load((FOLDER / file).read_text(encoding="utf-8"), _Loader)
    return loaded


def resources(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the resources of a type, by their logical names."""
    return {name: one for name, one in template["Resources"].items() if one["Type"] == kind}


def nodes(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it."""
    yield value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from nodes(inner)


class Resolver:
    """Resolves the functions of one template.

    ``attributes``: what GetAtt and Ref give for resources, by ``Name.Attribute`` and ``Name``; for others, that text itself.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        declared = template.get("Parameters", {})
        defaults = {name: str(one["Default"]) for name, one in declared.items() if "Default" in one}
        given = {**defaults, **(parameters or {})}
        assert set(given) <= set(declared), set(given) - set(declared)
        lists = {name for name, one in declared.items() if "List" in one["Type"]}
        self._values: dict[str, Any] = {
            **PSEUDO,
            **(attributes or {}),
            **{name: value.split(",") if name in lists else value for name, value in given.items()},
            "AWS::NoValue": NO_VALUE,
        }
        self._conditions = template.get("Conditions", {})

    def __call__(self, value: Any) -> Any:
        """Return a value with its functions resolved, as a copy."""
        if isinstance(value, list):
            return [inner for inner in map(self, value) if inner is not NO_VALUE]
        if not isinstance(value, Mapping):
            return value
        if len(value) == 1:
            ((name, given),) = value.items()
            method = getattr(self, f"_{name.removeprefix('Fn::').lower()}", None)
            if method is not None and (name.startswith("Fn::") or name in ("Ref", "Condition")):
                return method(given)
        inside = {name: self(inner) for name, inner in value.items()}
        return {name: inner for name, inner in inside.items() if inner is not NO_VALUE}

    def condition(self, name: str) -> bool:
        """Return whether a condition holds."""
        return bool(self(self._conditions[name]))

    def _ref(self, name: str) -> Any:
        return self._values.get(name, name)

    def _getatt(self, given: list[str]) -> Any:
        return self._values.get(".".join(given), ".".join(given))

    def _sub(self, given: str | list[Any]) -> str:
        text, own = (given, {}) if isinstance(given, str) else given
        values = {**self._values, **{name: self(value) for name, value in own.items()}}
        return re.sub(r"\$\{([^}!]+)\}", lambda found: str(values.get(found[1], found[1])), text)

    def _join(self, given: list[Any]) -> str:
        return str(given[0]).join(map(str, self(given[1])))

    def _split(self, given: list[Any]) -> list[str]:
        return str(self(given[1])).split(given[0])

    def _select(self, given: list[Any]) -> Any:
        return self(given[1])[int(given[0])]

    def _if(self, given: list[Any]) -> Any:
        return self(given[1] if self.condition(given[0]) else given[2])

    def _condition(self, name: Any) -> Any:
        return self.condition(name) if isinstance(name, str) else {"Condition": self(name)}  # as in a policy's statement

    def _equals(self, given: list[Any]) -> bool:
        left, right = (str(self(one)) for one in given)
        return left == right

    def _not(self, given: list[Any]) -> bool:
        return not self(given[0])

    def _and(self, given: list[Any]) -> bool:
        return all(map(self, given))

    def _or(self, given: list[Any]) -> bool:
        return any(map(self, given))

"""The templates in deploy/aws/: valid, and with the settings, commands and prefixes that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from typer.main import get_command

from pipeline.cli.commands import app
from pipeline.contracts.object_keys import INCOMING
from pipeline.contracts.patches import PATCHES
from pipeline.contracts.steps import Work
from pipeline.expired_uploads import ROOTS
from pipeline.settings import Settings
from tests.support.cloudformation import FOLDER, TEMPLATES, Resolver, read, resources

ROOT = FOLDER.parents[1]
SERVICES = ("web.yaml", "worker.yaml", "cluster.yaml")

# --- valid ---


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("cfn-lint"), "--non-zero-exit-code", "informational", *files]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_cfn_lint_finds_nothing() -> None:
    done = lint(*TEMPLATES)
    assert (done.returncode, done.stdout) == (0, "")


def test_cfn_lint_would_find_a_parameter_that_a_nested_stack_lacks(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "deploy" / "aws")
    file = tmp_path / "deploy" / "aws" / "template.yaml"
    file.write_text(file.read_text().replace("        KeepVersionsDays: !Ref KeepVersionsDays\n", "", 1))
    assert "KeepVersionsDays" in lint(file).stdout


# --- the settings, the commands, the prefixes ---

NOT_SETTINGS = {
    "TMPDIR": "Python's: the one folder that can be written to",
    "GUNICORN_CMD_ARGS": "gunicorn's",
    "BULKHEAD_TEMPORAL_SECRET_ARN": "lambda/entry.py reads it",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "OpenTelemetry's",
    "OTEL_SERVICE_NAME": "OpenTelemetry's",
}
SECRETS = re.compile(
    r"(BULKHEAD_MIGRATION_)?DATABASE_(READ_)?URL|.*(SECRET|KEY|KEYS|PASSWORD|TOKEN|KEY_DATA|CERT_DATA|SMTP_URL)"
)
"""Variables that hold a secret, or may."""


def known_settings() -> set[str]:
    return {name for field in Settings.model_fields.values() for name in field.validation_alias.choices}  # type: ignore[union-attr, misc]


def container(file: str, **parameters: str) -> dict[str, Any]:
    """Return the container of a task definition, with everything that parameters may switch on."""
    template = read(file)
    given = {
        name: str(one.get("Default", (one.get("AllowedValues") or ["given"])[0]))  # true comes before false
        for name, one in template["Parameters"].items()
    }
    (task,) = resources(template, "AWS::ECS::TaskDefinition").values()
    (found,) = Resolver(template, {**given, **parameters})(task["Properties"]["ContainerDefinitions"])
    return cast(dict[str, Any], found)


def variables(file: str, **parameters: str) -> dict[str, Any]:
    """Return the variables of a container's environment; those of secrets have the value None."""
    one = container(file, **parameters)
    return {entry["Name"]: entry["Value"] for entry in one["Environment"]} | {entry["Name"]: None for entry in one["Secrets"]}


def function_variables() -> dict[str, Any]:
    (function,) = resources(read("template.yaml"), "AWS::Serverless::Function").values()
    return cast(dict[str, Any], function["Properties"]["Environment"]["Variables"])


@pytest.mark.parametrize("file", SERVICES)
@pytest.mark.parametrize("authentication", ["api-key", "mtls", "tls", "none"])
def test_every_variable_of_a_task_is_a_setting(file: str, authentication: str) -> None:
    given = variables(file, TemporalAuthentication=authentication)
    assert set(given) - known_settings() - set(NOT_SETTINGS) == set()
    assert {"DATABASE_URL", "DATABASE_READ_URL", "BULKHEAD_BUCKET", "BULKHEAD_URL", "TEMPORAL_ADDRESS"} <= set(given)
    assert ("TEMPORAL_API_KEY" in given) == (authentication == "api-key")
    assert "BULKHEAD_PAYLOAD_KEYS" in given
    assert "BULKHEAD_PAYLOAD_KEYS" not in variables(file, PayloadEncryption="false")
    assert ("TEMPORAL_TLS_CLIENT_KEY_DATA" in given) == (authentication == "mtls")
    assert given["TEMPORAL_TLS"] == ("false" if authentication == "none" else "true")


def test_every_variable_of_the_lambda_is_read() -> None:
    given = set(function_variables())
    assert given - known_settings() - set(NOT_SETTINGS) == set()
    sources = "".join((ROOT / "lambda" / name).read_text() for name in ("handler.py", "entry.py"))
    assert all(name in sources for name in given if name.startswith("BULKHEAD_"))


def test_the_zip_is_built_for_the_runtime_of_the_lambda() -> None:
    (function,) = resources(read("template.yaml"), "AWS::Serverless::Function").values()
    (version,) = re.findall(r"^LAMBDA_PYTHON := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert function["Properties"]["Runtime"] == f"python{version}"
    assert (ROOT / "lambda" / f"{function['Properties']['Handler'].partition('.')[0]}.py").exists()


def test_the_settings_can_be_used() -> None:
    """The values are of the right types, and no process refuses to start for a missing or a known secret."""
    for file in SERVICES:
        traces = {"TracesEndpoint": "https://collector.example.org"}
        all_numbers = {
            "worker.yaml": {"ParallelFiles": "2", "ParallelParts": "2", **traces},
            "web.yaml": {"TrustedProxies": "1", **traces},
        }
        numbers = all_numbers.get(file, {})
        given = variables(file, Url="https://bulkhead.example.org", **numbers)
        url = "postgresql://bulkhead:a-random-password@db.example.org:5432/bulkhead?sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"
        secrets = {name: url if "DATABASE" in name else "a-random-secret" for name, value in given.items() if value is None}
        assert Settings(**{**given, **secrets}).database_url == url


def test_the_url_of_the_database_is_one() -> None:
    template = read("database.yaml")
    for mode, expected in (("verify-full", "sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem"), ("require", "sslmode=require")):
        resolve = Resolver(template, {"TlsMode": mode})
        for name, role, password in (
            ("Url", "bulkhead_app", "ApplicationPassword"),
            ("ReadUrl", "bulkhead_app", "ApplicationPassword"),
            ("OwnerUrl", template["Resources"]["Database"]["Properties"]["MasterUsername"], "Password"),
        ):
            text = resolve(template["Resources"][name]["Properties"]["SecretString"])
            url = text.replace(f"{{{{resolve:secretsmanager:{password}:SecretString:password}}}}", "a" * 40)
            assert Settings(DATABASE_URL=url).database_url.endswith(expected)
            assert url.startswith(f"postgresql://{role}:{'a' * 40}@")


def test_what_web_and_workers_share_is_the_same() -> None:
    web, worker, operator = (variables(file) for file in SERVICES)
    assert web.pop("OTEL_SERVICE_NAME") == "bulkhead-web" and worker.pop("OTEL_SERVICE_NAME") == "bulkhead-worker"
    assert operator.pop("BULKHEAD_MIGRATION_DATABASE_URL", "missing") is None, "only run-task has the owner's URL"
    assert "BULKHEAD_MIGRATION_DATABASE_URL" not in {*web, *worker}
    assert operator.items() <= web.items()
    assert operator.items() <= worker.items()
    assert {name for name in web if name not in operator} == {
        *("BULKHEAD_BIND", "BULKHEAD_PORT", "GUNICORN_CMD_ARGS", "BULKHEAD_SECRET_KEY", "BULKHEAD_TRUSTED_PROXIES"),
        *("BULKHEAD_METRICS_PORT", "BULKHEAD_METRICS_BIND", "BULKHEAD_METRICS_TOKEN", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    }


@pytest.mark.parametrize("file", ["web.yaml", "worker.yaml"])
def test_metrics_and_traces_are_switched_on_by_parameters(file: str) -> None:
    template = read(file)
    on, off = variables(file, MetricsNamespaceId="ns-1"), variables(file, MetricsNamespaceId="", TracesEndpoint="")
    assert not {name for name in off if "METRICS" in name or name == "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert on["BULKHEAD_METRICS_BIND"] == "0.0.0.0" and on["BULKHEAD_METRICS_TOKEN"] is None
    groups = read("security-groups.yaml")["Resources"]
    rule = groups[f"{file.removesuffix('.yaml').capitalize()}FromPrometheus"]["Properties"]
    assert str(rule["FromPort"]) == str(rule["ToPort"]) == on["BULKHEAD_METRICS_PORT"]
    (service,) = resources(template, "AWS::ECS::Service").values()
    assert "Discovery" in str(service["Properties"]["ServiceRegistries"])


def name_in_dns(file: str, **parameters: str) -> str:
    template = read(file)
    (found,) = resources(template, "AWS::ServiceDiscovery::Service").values()
    given = dict.fromkeys(template["Parameters"], "given") | parameters
    return str(Resolver(template, given)(found["Properties"]["Name"]))


def test_prometheus_finds_each_service_by_the_name_that_the_steps_say() -> None:
    names = {name_in_dns("web.yaml"), *(name_in_dns("worker.yaml", Queues=queues) for queues in ("", *Work))}
    assert names == {"web", "worker", *(f"worker-{work}" for work in Work)}
    assert all(f"`{name}`" in README or f"{name}.bulkhead.internal" in README for name in names)


def test_workers_are_versioned_by_the_tag_of_the_image_if_that_is_wanted() -> None:
    template = read("template.yaml")
    stacks = [one for one in template["Resources"].values() if one.get("Properties", {}).get("TemplateURL") == "worker.yaml"]
    assert len(stacks) == 5
    for wanted, build in (("true", "0.2.0"), ("false", "")):
        resolve = Resolver(template, {"WorkerVersioning": wanted, "ImageTag": "0.2.0"})
        assert {resolve(one["Properties"]["Parameters"]["BuildId"]) for one in stacks} == {build}
    assert variables("worker.yaml", BuildId="0.2.0")["BULKHEAD_BUILD_ID"] == "0.2.0"


def test_secrets_are_given_as_secrets() -> None:
    for file in SERVICES:
        for name, value in variables(file).items():
            assert (value is None) == bool(SECRETS.fullmatch(name)), f"{file}: {name}"
    assert [name for name in function_variables() if SECRETS.fullmatch(name)] == []


def commands() -> Iterator[tuple[str, list[str]]]:
    for file in SERVICES:
        yield file, container(file)["Command"]
    yield "worker.yaml", container("worker.yaml", Queues="")["Command"]


def test_the_commands_exist() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    for file, command in commands():
        program, verb, *rest = command
        assert (program, verb in known) == ("bulkhead", True), file
        options = {name for one in known[verb].params for name in one.opts}
        if "--queues" in rest and "--queues" not in options:
            pytest.skip("`bulkhead worker --queues` is not there yet")
        assert {one for one in rest if one.startswith("-")} <= options, file


def test_each_prefix_has_a_rule_and_none_removes_what_may_still_be_needed() -> None:
    rules = read("storage.yaml")["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {*ROOTS, f"{PATCHES}/"} <= {rule.get("Prefix") for rule in rules}
    for rule in rules:
        assert not {"ExpirationInDays", "ExpirationDate", "Transitions"} & set(rule), rule["Id"]
    assert any("AbortIncompleteMultipartUpload" in rule for rule in rules)


def test_the_event_is_of_the_prefix_that_is_read() -> None:
    (function,) = resources(read("template.yaml"), "AWS::Serverless::Function").values()
    event = function["Properties"]["Events"]["ObjectCreated"]["Properties"]["Pattern"]
    assert event["detail"]["object"]["key"] == [{"prefix": f"{INCOMING}/"}]
    assert (event["source"], event["detail-type"]) == (["aws.s3"], ["Object Created"])


def test_the_load_balancer_gives_up_a_connection_before_the_web_app_does() -> None:
    attributes = read("web.yaml")["Resources"]["LoadBalancer"]["Properties"]["LoadBalancerAttributes"]
    idle = int(next(one["Value"] for one in attributes if one["Key"] == "idle_timeout.timeout_seconds"))
    assert int(variables("web.yaml")["GUNICORN_CMD_ARGS"].split()[-1]) > idle


def test_the_example_of_parameters_names_those_there_are() -> None:
    example = tomllib.loads((FOLDER / "samconfig.toml.example").read_text())
    declared = read("template.yaml")["Parameters"]
    given = dict(one.split("=", 1) for one in example["default"]["deploy"]["parameters"]["parameter_overrides"])
    assert set(given) <= set(declared)
    assert {name for name, one in declared.items() if "Default" not in one} <= set(given)
    for name, value in given.items():
        assert value in map(str, declared[name].get("AllowedValues", [value])), name
        assert re.fullmatch(declared[name].get("AllowedPattern", ".*"), value), name


README = (FOLDER / "README.md").read_text()


def test_the_commands_of_the_steps_exist() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    written = re.findall(r"run-task (?:--forget )?bulkhead bulkhead (.*?)(?:`|$)", README, re.MULTILINE)
    assert {text.split()[0] for text in written} == {"migrate", "doctor", "key", "rollout"}
    for text in written:
        verb, *rest = text.split()
        command = known[verb].commands[rest[0]] if verb == "key" else known[verb]
        options = {name for one in command.params for name in one.opts}
        assert {one for one in rest if one.startswith("-")} <= options, text


def test_the_parameters_and_outputs_that_the_steps_name_exist() -> None:
    template = read("template.yaml")
    named = {*re.findall(r"`([A-Z][a-z][A-Za-z]*)=", README), *re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", README)}
    assert len(named) > 15
    assert named <= set(template["Parameters"]) | set(template["Outputs"])


def test_every_template_is_in_the_table_of_the_steps() -> None:
    assert {file.name for file in TEMPLATES} == set(re.findall(r"`([a-z-]+\.yaml)`", README))


def test_every_parameter_of_a_nested_stack_is_used() -> None:
    for file in TEMPLATES:
        text = file.read_text()
        for name in read(file.name)["Parameters"]:
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{file.name}: {name}"


def test_containers_cannot_write_to_their_image() -> None:
    for file in SERVICES:
        one = container(file)
        assert one["ReadonlyRootFilesystem"] is True
        assert one["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert one["MountPoints"][0]["ContainerPath"] == variables(file)["BULKHEAD_HOME"] == variables(file)["TMPDIR"]

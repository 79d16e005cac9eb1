"""The Compose file for one production machine: valid, hardened, without a secret, and refusing what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.setting_types import names_of, secret_names
from pipeline.settings import Settings
from pipeline.temporal_access.payload_codec import keys_in
from tests.support.compose_files import ROOT, composed, config

FILE = "deploy/compose/production.yaml"
FOLDER = ROOT / "deploy" / "compose"
VARIABLES = {
    "DOMAIN": "bulkhead.example.org",
    "FILES_DOMAIN": "files.example.org",
    "ACME_EMAIL": "admin@example.org",
    "SECRETS": "./secrets",
}
END_BY_THEMSELVES = {"migrate", "temporal-schema", "temporal-namespace", "volumes"}
DATABASES = {"postgres", "temporal", "temporal-schema", "temporal-namespace"}


@pytest.fixture(scope="module")
def file() -> dict[str, Any]:
    return composed(FILE, VARIABLES, profiles="object-store,monitoring")


@pytest.fixture(scope="module")
def services(file: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = file["services"]
    return found


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", VARIABLES)
def test_nothing_starts_without_what_setup_writes(name: str, value: str | None) -> None:
    given = {key: text for key, text in VARIABLES.items() if key != name} | ({} if value is None else {name: value})
    said = config(FILE, given, profiles="object-store").stderr
    assert f"required variable {name} is missing a value: setup.sh" in said


def test_images_are_pinned_and_can_be_chosen(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), name
    text = (ROOT / FILE).read_text(encoding="utf-8")
    assert all(line.strip().startswith("image: ${") for line in text.splitlines() if line.strip().startswith("image:"))


def test_every_container_is_hardened(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged") and service.get("pid") is None, name
        assert service["user"].split(":")[0] != "0" or name == "volumes", name
        assert service.get("cap_add", []) == {"proxy": ["NET_BIND_SERVICE"], "volumes": ["CHOWN"]}.get(name, []), name
        assert "docker.sock" not in str(service.get("volumes", [])), name
    assert services["volumes"]["network_mode"] == "none"


def test_every_container_has_limits(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert {"cpus", "memory", "pids"} <= {*service["deploy"]["resources"]["limits"]}, name
        assert service["logging"]["options"]["max-size"], name


def test_what_runs_on_is_restarted_and_checked(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name not in END_BY_THEMSELVES:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name
        for needed, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if needed in END_BY_THEMSELVES else "service_healthy"
            assert how["condition"] == expected, f"{name} needs {needed}"


def test_only_the_proxy_can_be_reached_from_elsewhere_and_databases_have_no_way_out(
    file: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    ports = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert {name for name, published in ports.items() if not all(one.get("host_ip") == "127.0.0.1" for one in published)} == {
        "proxy"
    }
    assert {*ports} == {"proxy", "prometheus", "grafana"}
    assert {port["published"] for port in services["proxy"]["ports"]} == {"80", "443"}
    assert file["networks"]["internal"]["internal"] is True and file["networks"]["files"]["internal"] is True
    for name in DATABASES:
        assert [*services[name]["networks"]] == ["internal"], name
    assert {*services["s3"]["networks"]} == {"internal", "files"}
    for name in ("proxy", "grafana"):
        assert "internal" not in services[name]["networks"], f"{name} reaches no database"


def test_secrets_are_files_and_each_service_gets_those_that_it_reads(
    file: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    for name, service in services.items():
        environment = service.get("environment") or {}
        assert not {*environment} & ({*secret_names(Settings)} - {"AWS_ACCESS_KEY_ID"}), name
        assert not [key for key in environment if re.search("PASSWORD|PWD|SECRET|TOKEN|KEY", key) and not _is_harmless(key)], (
            name
        )
        mounted = {secret["target"] for secret in service.get("secrets", [])}
        texts = [*environment.values(), *(service.get("command") or [])]
        read = {path for text in texts for path in re.findall(r"/run/secrets/\w+", str(text))}
        if name == "postgres":
            script = (FOLDER / "postgres-databases.sh").read_text(encoding="utf-8")
            read |= {f"/run/secrets/{other}" for other in re.findall(r"/run/secrets}/(\w+)", script)}
        if name == "prometheus":
            configured = (FOLDER / "prometheus.yaml").read_text(encoding="utf-8")
            read |= {*re.findall(r"/run/secrets/\w+", configured)}
        assert mounted == read, name
    assert {Path(secret["file"]).name for secret in file["secrets"].values()} == {*file["secrets"]}


def _is_harmless(name: str) -> bool:
    return name.endswith("_FILE") or name in ("AWS_ACCESS_KEY_ID", "BACKUP_KEEP")


def test_settings_exist(services: dict[str, dict[str, Any]]) -> None:
    known = {name for field in Settings.model_fields.values() for name in names_of(field)}
    known |= {f"{name}_FILE" for name in secret_names(Settings)}
    for name in ("web", "worker", "relay", "migrate", "backup"):
        of_its_script = {"BACKUP_TO", "BACKUP_KEEP"} if name == "backup" else set()
        assert {*services[name]["environment"]} <= known | of_its_script, name


def test_what_runs_on_has_metrics_with_a_token_and_a_name_in_traces(services: dict[str, dict[str, Any]]) -> None:
    for name in ("web", "worker", "relay"):
        environment = services[name]["environment"]
        assert environment["BULKHEAD_METRICS_PORT"] == "9464" and environment["BULKHEAD_METRICS_BIND"] == "0.0.0.0", name
        assert environment["BULKHEAD_METRICS_TOKEN_FILE"] == "/run/secrets/metrics_token", name
        assert environment["OTEL_SERVICE_NAME"] == f"bulkhead-{name}"
        assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == ""
        assert "/var/lib/bulkhead" in {mount["target"] for mount in services[name]["volumes"]}, "metrics are counted in files"
    assert "BULKHEAD_METRICS_PORT" not in services["migrate"]["environment"]


def test_only_migration_and_backup_get_the_owner_of_the_ledger(services: dict[str, dict[str, Any]]) -> None:
    getting = {
        name
        for name, service in services.items()
        if "migration_database_url" in {secret["source"] for secret in service.get("secrets", [])}
    }
    assert getting == {"migrate", "backup"}
    assert services["migrate"]["environment"]["BULKHEAD_MIGRATION_DATABASE_URL_FILE"] == "/run/secrets/migration_database_url"
    owners = {name for name, one in services.items() if "bulkhead_owner_db_password" in str(one.get("secrets"))}
    assert owners == {"postgres"}


def test_the_web_app_trusts_the_proxy_before_it(services: dict[str, dict[str, Any]]) -> None:
    assert services["web"]["environment"]["BULKHEAD_TRUSTED_PROXIES"] == "1"
    assert "reverse_proxy web:8765" in (FOLDER / "Caddyfile").read_text(encoding="utf-8")
    more = composed(FILE, VARIABLES | {"TRUSTED_PROXIES": "2", "WORKER_QUEUES": "loading", "BUILD_ID": "0.2.0"})["services"]
    assert more["web"]["environment"]["BULKHEAD_TRUSTED_PROXIES"] == "2"
    assert more["worker"]["environment"]["BULKHEAD_WORKER_QUEUES"] == "loading"
    assert more["worker"]["environment"]["BULKHEAD_BUILD_ID"] == "0.2.0"


def test_monitoring_is_a_profile(services: dict[str, dict[str, Any]]) -> None:
    assert not {"prometheus", "grafana"} & {*composed(FILE, VARIABLES, profiles="object-store")["services"]}
    mounted = {mount["target"]: Path(mount["source"]) for mount in services["prometheus"]["volumes"] if mount["type"] == "bind"}
    read = yaml.safe_load(mounted["/etc/prometheus/prometheus.yaml"].read_text(encoding="utf-8"))
    assert mounted["/etc/prometheus/alerts.yaml"] == ROOT / "deploy" / "monitoring" / "alerts.yaml"
    assert read["rule_files"] == ["alerts.yaml"]
    example = yaml.safe_load((ROOT / "deploy" / "monitoring" / "prometheus.yaml").read_text(encoding="utf-8"))
    assert [job["job_name"] for job in read["scrape_configs"]] == [job["job_name"] for job in example["scrape_configs"]]
    for job in read["scrape_configs"]:
        (where,) = job["dns_sd_configs"]
        (name,) = where["names"]
        assert str(where["port"]) == services[name]["environment"]["BULKHEAD_METRICS_PORT"], name
        assert {*services[name]["networks"]} & {*services["prometheus"]["networks"]}, f"Prometheus does not reach {name}"


def test_grafana_has_the_dashboard_and_its_data_source(services: dict[str, dict[str, Any]]) -> None:
    mounted = {mount["target"]: Path(mount["source"]) for mount in services["grafana"]["volumes"] if mount["type"] == "bind"}
    (source,) = yaml.safe_load((FOLDER / "grafana-datasource.yaml").read_text(encoding="utf-8"))["datasources"]
    assert (source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True)
    (provider,) = yaml.safe_load((FOLDER / "grafana-dashboards.yaml").read_text(encoding="utf-8"))["providers"]
    dashboard = Path(provider["options"]["path"]) / "bulkhead.json"
    assert mounted[str(dashboard)] == ROOT / "deploy" / "monitoring" / "dashboard.json"
    environment = services["grafana"]["environment"]
    assert environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == str(dashboard)
    assert environment["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_admin_password"


def test_payload_keys_are_a_file_more(services: dict[str, dict[str, Any]]) -> None:
    both = composed(FILE, VARIABLES, "deploy/compose/payload-keys.yaml", profiles="object-store,monitoring")
    for name in ("web", "worker", "relay"):
        environment = both["services"][name]["environment"]
        assert environment == services[name]["environment"] | {"BULKHEAD_PAYLOAD_KEYS_FILE": "/run/secrets/payload_keys"}
        before = {secret["source"] for secret in services[name]["secrets"]}
        assert {secret["source"] for secret in both["services"][name]["secrets"]} == before | {"payload_keys"}
    assert {name for name, one in both["services"].items() if "payload_keys" in str(one)} == {"web", "worker", "relay"}
    assert not {"relay"} & {*composed(FILE, VARIABLES, "deploy/compose/payload-keys.yaml")["services"]}


def test_volumes_and_folders_are_named(file: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    used = {
        mount["source"] for service in services.values() for mount in service.get("volumes", []) if mount["type"] == "volume"
    }
    assert used == {*file["volumes"]}
    for service in services.values():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                assert mount["read_only"] is True
                assert Path(mount["source"]).exists() or Path(mount["source"]).name == "datasets", mount["source"]


def test_an_object_store_elsewhere_needs_neither_ours_nor_the_relay() -> None:
    given = {
        "S3_ENDPOINT": "https://s3.example.org",
        "S3_ACCESS_KEY": "k",
        "PUBLIC_S3_ENDPOINT": "",
        "CADDYFILE": "Caddyfile.external-s3",
    }
    services = composed(FILE, VARIABLES | given)["services"]
    assert not {"s3", "relay"} & {*services}
    assert services["web"]["environment"]["AWS_ENDPOINT_URL_S3"] == "https://s3.example.org"
    assert services["web"]["environment"]["BULKHEAD_PUBLIC_S3_ENDPOINT"] == ""
    assert (FOLDER / "Caddyfile.external-s3").is_file()


def test_the_other_file_says_that_it_is_for_trying_out() -> None:
    assert (ROOT / "docker-compose.yml").read_text(encoding="utf-8").startswith("# For trying out")


# --- the scripts ---


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_posix_shell_and_stop_at_an_error(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n") and "\nset -eu\n" in text
    assert script.stat().st_mode & 0o111


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The folder, beside copies of what setup.sh takes from the checkout."""
    for name in ("expectations", "sql"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(FOLDER, tmp_path / "deploy" / "compose", ignore=shutil.ignore_patterns("secrets", ".env", "datasets"))
    return tmp_path / "deploy" / "compose"


def setup(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["./setup.sh", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


DOMAINS = ("bulkhead.example.org", "files.example.org", "admin@example.org")


def test_setup_makes_what_the_file_needs_and_keeps_it(copied: Path) -> None:
    assert setup(copied, *DOMAINS).returncode == 0
    secrets = {file.name: file.read_text() for file in (copied / "secrets").iterdir()}
    both = composed(FILE, VARIABLES, "deploy/compose/payload-keys.yaml", profiles="object-store,monitoring")
    assert {*secrets} == {*both["secrets"]}
    at = "@postgres:5432/bulkhead"
    assert secrets.pop("database_url") == f"postgresql://bulkhead_app:{secrets['bulkhead_db_password']}{at}"
    assert secrets.pop("migration_database_url") == f"postgresql://bulkhead_owner:{secrets['bulkhead_owner_db_password']}{at}"
    assert [*keys_in(secrets.pop("payload_keys"))] == ["k1"]
    random = [*secrets.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", text) for text in random) and len({*random}) == len(random)
    assert (copied / "secrets").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (copied / "secrets").iterdir()} == {0o444}
    assert (copied / "datasets" / "expectations" / "places.json").is_file()
    variables = dict(line.split("=", 1) for line in (copied / ".env").read_text().splitlines() if not line.startswith("#"))
    assert variables.items() >= VARIABLES.items() and variables["COMPOSE_PROFILES"] == "object-store"
    again = setup(copied, "other.example.org", *DOMAINS[1:])
    assert (again.returncode, again.stdout) == (0, "")
    assert {file.name: file.read_text() for file in (copied / "secrets").iterdir()}.items() >= secrets.items()


def test_setup_says_how_it_is_used(copied: Path) -> None:
    done = setup(copied, "bulkhead.example.org")
    assert done.returncode == 2
    assert "usage: ./setup.sh DOMAIN FILES_DOMAIN ACME_EMAIL" in done.stderr
    assert not (copied / "secrets").exists()

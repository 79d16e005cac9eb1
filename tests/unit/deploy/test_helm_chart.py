"""The Helm chart: valid for Kubernetes, safe in every pod, and in agreement with the application."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pipeline.contracts.steps import TaskQueue
from pipeline.setting_types import names_of, secret_names
from pipeline.settings import Settings
from tests.support.helm_chart import (
    CHART,
    EVERYTHING,
    EXAMPLES,
    MINIMAL,
    Object,
    containers,
    helm,
    merged,
    of_kind,
    pods,
    rendered,
)

KUBERNETES = ("1.30", "1.37")
"""The oldest that Chart.yaml allows, and the newest that the validator knows."""

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
SCRAPED: dict[str, Any] = {
    "type": "object",
    "required": ["port", "path", "interval", "relabelings"],
    "additionalProperties": False,
    "properties": {
        **dict.fromkeys(("port", "path", "interval"), TEXT),
        "relabelings": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "sourceLabels": {"type": "array", "items": TEXT},
                    **dict.fromkeys(("regex", "targetLabel", "replacement"), TEXT),
                },
            },
        },
        "authorization": {
            "type": "object",
            "required": ["type", "credentials"],
            "properties": {"credentials": {"type": "object", "required": ["name", "key"]}},
        },
    },
}
OWN_SCHEMAS: dict[str, Any] = {
    "ScaledObject": {
        "type": "object",
        "required": ["scaleTargetRef", "triggers"],
        "additionalProperties": False,
        "properties": {
            "scaleTargetRef": {
                "type": "object",
                "required": ["name"],
                "properties": {"apiVersion": TEXT, "kind": TEXT, "name": TEXT},
            },
            "minReplicaCount": {"type": "integer", "minimum": 1},
            "maxReplicaCount": {"type": "integer", "minimum": 1},
            "pollingInterval": {"type": "integer", "minimum": 1},
            "cooldownPeriod": {"type": "integer", "minimum": 0},
            "advanced": {"type": "object"},
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["type", "metadata"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"enum": ["temporal", "prometheus"]},
                        "metadata": TEXTS,  # KEDA takes texts only, numbers too
                        "authenticationRef": {"type": "object", "required": ["name"]},
                    },
                },
            },
        },
    },
    "TriggerAuthentication": {
        "type": "object",
        "required": ["secretTargetRef"],
        "additionalProperties": False,
        "properties": {
            "secretTargetRef": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["parameter", "name", "key"],
                    "additionalProperties": False,
                    "properties": {"parameter": {"enum": ["apiKey", "ca", "cert", "key"]}, "name": TEXT, "key": TEXT},
                },
            }
        },
    },
    "ServiceMonitor": {
        "type": "object",
        "required": ["selector", "endpoints"],
        "additionalProperties": False,
        "properties": {
            "selector": {"type": "object", "required": ["matchLabels"]},
            "endpoints": {
                "type": "array",
                "minItems": 1,
                "items": SCRAPED,
            },
        },
    },
    "PodMonitor": {
        "type": "object",
        "required": ["selector", "podMetricsEndpoints"],
        "additionalProperties": False,
        "properties": {
            "selector": {"type": "object", "required": ["matchLabels"]},
            "podMetricsEndpoints": {"type": "array", "minItems": 1, "items": SCRAPED},
        },
    },
}
"""What the chart uses of KEDA 2.17 and of prometheus-operator; Kubernetes itself has no schema of their resources."""

KEDA_TEMPORAL = {"endpoint", "namespace", "taskQueue", "queueTypes", "targetQueueSize", "tlsServerName"}


@pytest.fixture(params=EXAMPLES, scope="module")
def objects(request: pytest.FixtureRequest) -> list[Object]:
    return rendered(EXAMPLES[request.param])


@pytest.fixture(scope="module")
def everything() -> list[Object]:
    return rendered(EVERYTHING)


# --- valid ---


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_finds_nothing_to_say(name: str) -> None:
    report = helm().lint(CHART, dict(EXAMPLES[name]), strict=True, kube_version="v1.30.0")
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_accepts_each_object(objects: list[Object], version: str) -> None:
    for one in objects:
        if one["kind"] in OWN_SCHEMAS:
            jsonschema.validate(one["spec"], OWN_SCHEMAS[one["kind"]])
        else:
            kubernetes_validate.validate(one, version, strict=True)


def test_an_object_that_is_wrong_is_not_accepted() -> None:
    (web,) = [one for one in rendered(MINIMAL) if one["metadata"]["name"] == "bulkhead-web" and one["kind"] == "Deployment"]
    web["spec"]["template"]["spec"]["containers"][0]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(web, KUBERNETES[0], strict=True)


def test_names_are_unique_and_short(objects: list[Object]) -> None:
    named = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len({*named}) == len(named)
    assert all(len(name) <= 63 for _, name in named)


def test_a_long_release_name_fits() -> None:
    made = rendered(EVERYTHING, name="a-release-with-quite-a-long-name-" + "x" * 20)
    assert max(len(one["metadata"]["name"]) for one in made) <= 63


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"url": "http://bulkhead.example.org"}, "url"),
        ({"url": ""}, "url"),
        ({"temporal": {"address": "https://temporal:7233"}}, "address"),
        ({"temporal": {"address": "temporal"}}, "address"),
        ({"user": 0}, "user"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"image": {"digest": "sha256:1"}}, "digest"),
        ({"replicas": 3}, "replicas"),
        ({"web": {"replicas": 0}}, "replicas"),
        ({"web": {"resources": {"limits": {"memory": None}}}}, "memory"),
        ({"workers": {"loading": {"queues": ["parts"]}}}, "queues"),
        ({"workers": {"loading": {"autoscaling": {"minReplicas": 0}}}}, "minReplicas"),
        ({"autoscaling": {"kind": "vpa"}}, "kind"),
        ({"ingress": {"enabled": True, "host": "bulkhead.example.org"}}, "tlsSecret"),
        ({"settings": {"BULKHEAD_TRUSTED_PROXIES": 1}}, "settings"),
        ({"settings": {"lower": "x"}}, "invalid propertyName .lower."),
        ({"secrets": {"DATABASE_URL": "postgresql://user:password@host/x"}}, "secrets"),
        ({"secrets": {"DATABASE_URL_FILE": {}}}, "invalid propertyName .DATABASE_URL_FILE."),
        ({"s3": {"bucket": "No"}}, "bucket"),
        ({"networkPolicy": {"egress": {"s3": {"ports": []}}}}, "ports"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], why: str) -> None:
    library = helm()
    with library.Chart.load(CHART) as chart:
        chart.validate_schema(MINIMAL)
        with pytest.raises(library.HelmError, match=why):
            chart.validate_schema(merged(MINIMAL, changes))


def test_the_defaults_need_an_address_and_nothing_else() -> None:
    library = helm()
    with library.Chart.load(CHART) as chart, pytest.raises(library.HelmError, match=r"url.*address|address.*url|address|url"):
        chart.validate_schema({})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"settings": {"DATABASE_URL": "postgresql://x"}}, "DATABASE_URL is a secret; it belongs under secrets"),
        ({"relay": {"enabled": True}}, r"The relay needs secrets\.BULKHEAD_RELAY_TOKEN"),
        (
            {"autoscaling": {"kind": "keda"}, "workers": {"loading": {"autoscaling": {"prometheusQuery": "x"}}}},
            r"Set autoscaling\.prometheusAddress",
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(helm().HelmError, match=why):
        rendered(merged(MINIMAL, changes))


# --- safe ---


def test_no_pod_can_do_more_than_it_must(objects: list[Object]) -> None:
    for name, pod in pods(objects):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, f"{name}: Kubernetes would set BULKHEAD_PORT=tcp://..."
        assert not {"hostNetwork", "hostPID", "hostIPC"} & {*spec}, name
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] >= 1000 and security["runAsGroup"] >= 1000, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= {*container["resources"]["requests"]}, name
            assert {"memory", "ephemeral-storage"} <= {*container["resources"]["limits"]}, name
            assert re.search(r":\d+\.\d+\.\d+$|@sha256:[0-9a-f]{64}$", container["image"]), name


def test_only_scratch_is_writable_and_it_is_bounded(objects: list[Object]) -> None:
    for name, pod in pods(objects):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        assert not any("hostPath" in volume for volume in volumes.values()), name
        assert all(volume["emptyDir"]["sizeLimit"] for volume in volumes.values() if "emptyDir" in volume), name
        for container in containers(pod):
            writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert writable == {"/var/lib/bulkhead", "/tmp"}, name
            assert {mount["name"] for mount in container["volumeMounts"]} == {*volumes}, name


def test_service_accounts_have_no_token_and_no_rights(objects: list[Object]) -> None:
    accounts = of_kind(objects, "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    assert {pod["spec"]["serviceAccountName"] for _, pod in pods(objects)} == {*accounts}
    assert not {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"} & {one["kind"] for one in objects}


def test_no_secret_is_in_an_environment_or_in_an_object_of_the_chart(objects: list[Object]) -> None:
    assert not of_kind(objects, "Secret")
    for name, pod in pods(objects):
        for container in containers(pod):
            assert "envFrom" not in container
            for variable in container["env"]:
                assert {*variable} == {"name", "value"}, name
                assert variable["name"] not in secret_names(Settings), name


def test_each_process_gets_only_the_secrets_that_it_uses(everything: list[Object]) -> None:
    given = {}
    for name, pod in pods(everything):
        (container,) = containers(pod)
        files = {variable["name"]: variable["value"] for variable in container["env"] if variable["name"].endswith("_FILE")}
        (volume,) = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "secrets"]
        mounted = {
            item["path"]: source["secret"] for source in volume["projected"]["sources"] for item in source["secret"]["items"]
        }
        assert files == {f"{setting}_FILE": f"/run/secrets/bulkhead/{setting}" for setting in mounted}, name
        assert volume["projected"]["defaultMode"] == 0o440
        given[name.removeprefix("bulkhead-")] = {*mounted}
    assert given["relay"] == {"BULKHEAD_RELAY_TOKEN", "BULKHEAD_METRICS_TOKEN", "TEMPORAL_API_KEY", "BULKHEAD_PAYLOAD_KEYS"}
    assert given["rollout"] == {"TEMPORAL_API_KEY", "BULKHEAD_PAYLOAD_KEYS"}
    assert [name for name, secrets in given.items() if "BULKHEAD_MIGRATION_DATABASE_URL" in secrets] == ["migrate"]
    assert [name for name, secrets in given.items() if "BULKHEAD_SECRET_KEY" in secrets] == ["web"]
    assert [name for name, secrets in given.items() if "BULKHEAD_RELAY_TOKEN" in secrets] == ["relay"]
    assert all("DATABASE_URL" in given[name] for name in given if name not in ("relay", "rollout"))
    assert not given["migrate"] & {"BULKHEAD_SMTP_URL", "BULKHEAD_WEBHOOK_SECRET", "BULKHEAD_METRICS_TOKEN"}
    assert "BULKHEAD_WEBHOOK_SECRET" in given["worker-messages"]


# --- the network ---


def selects(policy: Object, labels: dict[str, str]) -> bool:
    """Return whether a NetworkPolicy is about a pod with these labels."""
    selector = policy["spec"]["podSelector"]
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(labels.get(one["key"]) not in one["values"] for one in selector.get("matchExpressions", []))


def open_ports(objects: list[Object], labels: dict[str, str], direction: str) -> set[int | str]:
    """Return the ports that are open for a pod in a direction, ``ingress`` or ``egress``."""
    rules = [
        rule
        for policy in of_kind(objects, "NetworkPolicy").values()
        if selects(policy, labels)
        for rule in policy["spec"].get(direction, [])
    ]
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_everything_is_denied_that_is_not_needed(everything: list[Object]) -> None:
    policies = of_kind(everything, "NetworkPolicy")
    deny = policies["bulkhead-deny"]["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in deny and "egress" not in deny
    outside: set[int | str] = {53, 443, 5432, 7233, 8443}
    expected: dict[str, tuple[set[int | str], set[int | str]]] = {
        "web": ({"http", "metrics"}, outside | {4318}),
        "worker-validation": ({"metrics"}, outside | {4318}),
        "worker-messages": ({"metrics"}, outside | {4318, 465, 587}),
        "relay": ({"events", "metrics"}, {53, 7233}),
        "migrate": (set(), outside),
        "rollout": (set(), {53, 7233}),
    }
    seen = {}
    for name, pod in pods(everything):
        labels = pod["metadata"]["labels"]
        assert selects(policies["bulkhead-deny"], labels), name
        seen[name.removeprefix("bulkhead-")] = (
            open_ports(everything, labels, "ingress"),
            open_ports(everything, labels, "egress"),
        )
    assert expected.items() <= seen.items()


def test_open_ports_exist(everything: list[Object]) -> None:
    for name, pod in pods(everything):
        named = {port["name"] for container in containers(pod) for port in container.get("ports", [])}
        assert open_ports(everything, pod["metadata"]["labels"], "ingress") == named, name


def test_messages_do_not_reach_private_addresses() -> None:
    (rule,) = of_kind(rendered(MINIMAL), "NetworkPolicy")["bulkhead-messages"]["spec"]["egress"]
    (peer,) = rule["to"]
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= {*peer["ipBlock"]["except"]}


def test_an_ingress_has_tls(everything: list[Object]) -> None:
    (ingress,) = of_kind(everything, "Ingress").values()
    assert ingress["spec"]["tls"] == [{"hosts": ["bulkhead.example.org"], "secretName": "tls"}]
    (backend,) = [path["backend"]["service"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    ports = of_kind(everything, "Service")[backend["name"]]["spec"]["ports"]
    assert backend["port"]["name"] in {port["name"] for port in ports}


# --- in agreement with itself and with the application ---


def test_selectors_select_the_pods_of_their_object_only(objects: list[Object]) -> None:
    templates = dict(pods(objects))
    selectors = {
        one["metadata"]["name"]: one["spec"]["selector"]["matchLabels"]
        for one in objects
        if one["kind"] in ("Deployment", "PodDisruptionBudget")
    }
    for name, selector in selectors.items():
        selected = [other for other, pod in templates.items() if selector.items() <= pod["metadata"]["labels"].items()]
        assert selected == [name]
    for name, service in of_kind(objects, "Service").items():
        if not name.endswith("-metrics"):
            labels = templates[name]["metadata"]["labels"]
            assert service["spec"]["selector"].items() <= labels.items()


def test_every_long_running_process_has_probes_and_a_disruption_budget(objects: list[Object]) -> None:
    budgets = of_kind(objects, "PodDisruptionBudget")
    for name, one in of_kind(objects, "Deployment").items():
        (container,) = containers(one["spec"]["template"])
        assert {"readinessProbe", "livenessProbe"} <= {*container}, name
        assert name in budgets
        spread = one["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [rule["topologyKey"] for rule in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert one["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 20  # the worker's own time to stop, and more


STANDARD = {"AWS_CA_BUNDLE", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"}
"""What libraries read themselves."""


def test_the_settings_that_the_chart_names_exist(objects: list[Object]) -> None:
    known = {name for field in Settings.model_fields.values() for name in names_of(field)}
    secrets = {f"{name}_FILE" for name in secret_names(Settings)}
    for name, pod in pods(objects):
        for container in containers(pod):
            named = {variable["name"] for variable in container["env"]}
            assert named - known - secrets - STANDARD == set(), name


def test_the_values_file_names_settings_that_exist_in_its_comments() -> None:
    known = {name for field in Settings.model_fields.values() for name in names_of(field)} | STANDARD
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    named = {*re.findall(r"\b(?:BULKHEAD|AWS|TEMPORAL|DATABASE)_[A-Z0-9_]+\b", text)}
    assert named <= known


def test_the_backlog_is_measured_on_task_queues_that_exist() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    measured = [queue for worker in values["workers"].values() for queue in worker["taskQueues"]]
    assert len(measured) == len({*measured})
    assert {*measured} == {queue.value for queue in TaskQueue} - {"", "waits"}, "a task queue of a kind of work is not scaled"


def test_workers_are_scaled_by_the_backlog(everything: list[Object]) -> None:
    scaled = of_kind(everything, "ScaledObject")
    deployments = of_kind(everything, "Deployment")
    for name, one in scaled.items():
        assert one["spec"]["scaleTargetRef"]["name"] == name
        assert "replicas" not in deployments[name]["spec"]
    triggers = {name: one["spec"]["triggers"] for name, one in scaled.items()}
    queues = {trigger["metadata"]["taskQueue"] for trigger in triggers["bulkhead-worker-validation"]}
    assert queues == {"bulkhead/files", "bulkhead/results"}
    assert [trigger["type"] for trigger in triggers["bulkhead-worker-upkeep"]] == ["prometheus"]
    for trigger in (one for some in triggers.values() for one in some if one["type"] == "temporal"):
        assert {*trigger["metadata"]} <= KEDA_TEMPORAL
        assert trigger["authenticationRef"]["name"] in of_kind(everything, "TriggerAuthentication")
    (access,) = of_kind(everything, "TriggerAuthentication").values()
    assert {one["parameter"] for one in access["spec"]["secretTargetRef"]} == {"apiKey", "ca", "cert", "key"}


def test_without_keda_workers_can_be_scaled_by_cpu_or_not_at_all() -> None:
    by_cpu = of_kind(rendered(merged(MINIMAL, {"autoscaling": {"kind": "hpa"}})), "HorizontalPodAutoscaler")
    assert {*by_cpu} == {f"bulkhead-worker-{group}" for group in ("validation", "loading", "messages", "upkeep")}
    made = rendered(MINIMAL)
    assert not of_kind(made, "HorizontalPodAutoscaler") and not of_kind(made, "ScaledObject")
    assert of_kind(made, "Deployment")["bulkhead-worker-loading"]["spec"]["replicas"] == 2


def test_the_migration_runs_before_everything_else_with_what_it_needs(everything: list[Object]) -> None:
    before = [one for one in everything if "pre-install" in one["metadata"].get("annotations", {}).get("helm.sh/hook", "")]
    assert {one["kind"] for one in before} == {"Job", "ServiceAccount", "NetworkPolicy"}
    (job,) = of_kind(before, "Job").values()
    assert job["spec"]["template"]["spec"]["serviceAccountName"] in of_kind(before, "ServiceAccount")
    assert containers(job["spec"]["template"])[0]["command"] == ["bulkhead", "migrate"]
    weights = {one["kind"]: int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in before}
    assert weights["Job"] > max(weights["ServiceAccount"], weights["NetworkPolicy"])


def variables(objects: list[Object], name: str) -> dict[str, str]:
    """Return the environment of a Deployment or Job."""
    (container,) = containers(dict(pods(objects))[name])
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_metrics_are_served_by_what_runs_on_and_found_under_the_names_of_the_rules(everything: list[Object]) -> None:
    templates = dict(pods(everything))
    scraped = [name for name in templates if "BULKHEAD_METRICS_PORT" in variables(everything, name)]
    assert {*scraped} == {*templates} - {"bulkhead-migrate", "bulkhead-rollout"}
    for name in scraped:
        environment, (container,) = variables(everything, name), containers(templates[name])
        assert environment["BULKHEAD_METRICS_BIND"] == "0.0.0.0"
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert str(ports["metrics"]) == environment["BULKHEAD_METRICS_PORT"]
        annotations = templates[name]["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true"
        assert annotations["prometheus.io/port"] == environment["BULKHEAD_METRICS_PORT"]
    assert templates["bulkhead-web"]["metadata"]["annotations"]["a"] == "b"
    assert "annotations" not in templates["bulkhead-migrate"]["metadata"]
    (service,), (pod,) = of_kind(everything, "ServiceMonitor").values(), of_kind(everything, "PodMonitor").values()
    example = yaml.safe_load((CHART.parent / "monitoring" / "prometheus.yaml").read_text(encoding="utf-8"))
    for endpoint in (*service["spec"]["endpoints"], *pod["spec"]["podMetricsEndpoints"]):
        (rule,) = endpoint["relabelings"]
        components = [templates[name]["metadata"]["labels"]["app.kubernetes.io/component"] for name in scraped]
        found = {re.sub(f"^{rule['regex']}$", rule["replacement"].replace("$1", r"\1"), one) for one in components}
        assert found == {job["job_name"] for job in example["scrape_configs"]}
        assert endpoint["authorization"]["credentials"] == {"name": "monitoring", "key": "token"}


def test_without_metrics_nothing_of_them_is_there() -> None:
    made = rendered(MINIMAL)
    assert not of_kind(made, "Service").keys() & {"bulkhead-metrics"}
    for name, pod in pods(made):
        assert "BULKHEAD_METRICS_PORT" not in variables(made, name)
        assert "annotations" not in pod["metadata"]


def test_workers_have_the_version_of_the_image_and_an_upgrade_rolls_it_out(everything: list[Object]) -> None:
    for objects, build in ((everything, "0" * 12), (rendered(merged(MINIMAL, {"image": {"tag": "0.2.0"}})), "0.2.0")):
        job = of_kind(objects, "Job")["bulkhead-rollout"]
        assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-upgrade,post-rollback"
        assert containers(job["spec"]["template"])[0]["command"] == ["bulkhead", "rollout", build]
        workers = [name for name, _ in pods(objects) if "-worker-" in name]
        assert {variables(objects, name)["BULKHEAD_BUILD_ID"] for name in [*workers, "bulkhead-web"]} == {build}
        assert "BULKHEAD_BUILD_ID" not in variables(objects, "bulkhead-migrate")
    off = rendered(merged(MINIMAL, {"rollout": {"enabled": False}}))
    assert "bulkhead-rollout" not in {*of_kind(off, "Job")} | {*of_kind(off, "NetworkPolicy")}
    assert not [name for name, _ in pods(off) if "BULKHEAD_BUILD_ID" in variables(off, name)]


def test_the_web_app_trusts_the_ingress_and_nothing_else_is_told_of_it(everything: list[Object]) -> None:
    given = {name: variables(everything, name).get("BULKHEAD_TRUSTED_PROXIES") for name, _ in pods(everything)}
    assert {name: number for name, number in given.items() if number is not None} == {"bulkhead-web": "1"}
    assert "BULKHEAD_TRUSTED_PROXIES" not in variables(rendered(MINIMAL), "bulkhead-web")
    two = rendered(merged(EVERYTHING, {"ingress": {"trustedProxies": 2}}))
    assert variables(two, "bulkhead-web")["BULKHEAD_TRUSTED_PROXIES"] == "2"


def test_each_process_has_its_name_in_traces(everything: list[Object]) -> None:
    named = {name: variables(everything, name).get("OTEL_SERVICE_NAME") for name, _ in pods(everything)}
    traced = {name: service for name, service in named.items() if service is not None}
    assert traced == {name: name for name in named if "-web" in name or "-worker-" in name}
    assert {variables(everything, name)["OTEL_EXPORTER_OTLP_ENDPOINT"] for name in traced} == {"http://collector:4318"}


def test_the_version_is_that_of_the_application() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = re.search(r'^version = "(.+)"$', (CHART.parents[1] / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert project and chart["appVersion"] == project[1]

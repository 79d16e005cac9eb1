"""Temporal behind TLS, as a real server has it: who is let in, and what is said to those who are not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeline.adapters.s3 import Store
from pipeline.adapters.temporal import TemporalClient
from pipeline.cli.doctor import checked
from pipeline.contracts.messages import ObjectArrived
from pipeline.contracts.states import State
from pipeline.errors import InvalidConfiguration, Unreachable
from pipeline.settings import ROOT, Settings
from pipeline.temporal_access.connecting import connect
from pipeline.temporal_access.options import access_from
from tests.support.bulkhead import HEADER, Bulkhead
from tests.support.certificates import Authority, Issued
from tests.support.tls_proxy import TlsProxy, tls_proxy
from tests.support.worker_process import closing_worker

NAME = "temporal.internal"
API_KEY = "tea-1st"
HUFFMAN = {  # RFC 7541, appendix B: the codes of these characters
    **{"B": "1011101", "e": "00101", "a": "00011", "r": "101100", " ": "010100", "t": "01001", "-": "010110"},
    **{"1": "00001", "s": "01000"},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other")


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue(NAME)


@pytest.fixture
def guarded(temporal_address: str, issued: Issued) -> Iterator[TlsProxy]:
    """The server behind TLS, with a certificate of a private authority."""
    with tls_proxy(temporal_address, issued) as proxy:
        yield proxy


@pytest.fixture
def mutual(temporal_address: str, issued: Issued, authority: Authority) -> Iterator[TlsProxy]:
    """The server behind mutual TLS."""
    with tls_proxy(temporal_address, issued, clients=authority.certificate) as proxy:
        yield proxy


def trusting(proxy: TlsProxy, authority: Authority, **others: str) -> dict[str, str]:
    """The variables of a client that trusts the authority and knows the server's name."""
    variables = {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": str(authority.certificate), "TEMPORAL_TLS_SERVER_NAME": NAME}
    return {"TEMPORAL_ADDRESS": proxy.address, **variables, **others}


def showing(client: Issued) -> dict[str, str]:
    """The variables of a client with a certificate."""
    return {
        "TEMPORAL_TLS_CLIENT_CERT_PATH": str(client.certificate),
        "TEMPORAL_TLS_CLIENT_KEY_PATH": str(client.key),
    }


def is_let_in(variables: Mapping[str, str]) -> bool:
    with closing(TemporalClient(access_from(variables), "bulkhead")) as temporal:
        return temporal.is_up()


def refusal(variables: Mapping[str, str]) -> str:
    with pytest.raises(Unreachable) as told:
        asyncio.run(connect(access_from(variables)))
    assert variables["TEMPORAL_ADDRESS"] in str(told.value)
    return str(told.value)


def test_a_private_authority(guarded: TlsProxy, authority: Authority) -> None:
    assert is_let_in(trusting(guarded, authority))
    data = trusting(guarded, authority) | {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": ""}
    assert is_let_in({**data, "TEMPORAL_TLS_SERVER_CA_CERT_DATA": authority.certificate.read_text()})


def test_a_profile_in_a_file_and_variables_that_win_over_it(
    guarded: TlsProxy, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text(
        f'[profile.prod]\naddress = "{guarded.address}"\n'
        f'[profile.prod.tls]\nserver_name = "wrong"\nserver_ca_cert_path = "{authority.certificate}"\n'
    )
    named = {"TEMPORAL_CONFIG_FILE": str(file), "TEMPORAL_PROFILE": "prod"}
    assert "another name" in refusal({**named, "TEMPORAL_ADDRESS": guarded.address})
    assert is_let_in({**named, "TEMPORAL_TLS_SERVER_NAME": NAME})


def test_another_authority(guarded: TlsProxy, other: Authority) -> None:
    told = refusal(trusting(guarded, other))
    assert "not signed by an authority that is trusted here" in told and "TEMPORAL_TLS_SERVER_CA_CERT_PATH" in told
    assert "not signed by an authority" in refusal({"TEMPORAL_ADDRESS": guarded.address, "TEMPORAL_TLS": "true"})


def test_another_name(guarded: TlsProxy, authority: Authority) -> None:
    told = refusal(trusting(guarded, authority, TEMPORAL_TLS_SERVER_NAME=""))
    assert "for another name" in told and "TEMPORAL_TLS_SERVER_NAME" in told


def test_an_expired_certificate(temporal_address: str, authority: Authority) -> None:
    with tls_proxy(temporal_address, authority.issue("old", NAME, expired=True)) as proxy:
        assert "its certificate has expired. Renew the server's certificate" in refusal(trusting(proxy, authority))


def test_clear_text_to_a_server_with_tls_and_the_other_way_round(
    guarded: TlsProxy, authority: Authority, temporal_address: str
) -> None:
    assert "It may expect TLS: set TEMPORAL_TLS=true" in refusal({"TEMPORAL_ADDRESS": guarded.address})
    told = refusal(trusting(guarded, authority) | {"TEMPORAL_ADDRESS": temporal_address})
    assert "does not speak TLS at this port" in told and "unset TEMPORAL_TLS" in told


def test_mutual_tls(mutual: TlsProxy, authority: Authority, other: Authority) -> None:
    ours = authority.issue("client")
    assert is_let_in(trusting(mutual, authority, **showing(ours)))
    assert "It may expect a client certificate" in refusal(trusting(mutual, authority))
    for client in (other.issue("stranger"), authority.issue("late", expired=True)):
        assert "does not accept the client certificate" in refusal(trusting(mutual, authority, **showing(client)))
    mixed = showing(ours) | {"TEMPORAL_TLS_CLIENT_KEY_PATH": str(other.issue("stranger").key)}
    assert "key does not belong to its certificate" in refusal(trusting(mutual, authority, **mixed))


def on_the_wire(value: str) -> bytes:
    """A header's value as HTTP/2 sends it: in Huffman's code, padded with ones (RFC 7541, section 5.2)."""
    bits = "".join(HUFFMAN[one] for one in value)
    bits += "1" * (-len(bits) % 8)
    code = int(bits, 2).to_bytes(len(bits) // 8)
    return bytes([0x80 | len(code)]) + code


@pytest.mark.parametrize("how", ["variable", "file"])
def test_an_api_key_arrives_and_over_tls_only(how: str, guarded: TlsProxy, authority: Authority, tmp_path: Path) -> None:
    assert is_let_in(trusting(guarded, authority))
    assert on_the_wire(f"Bearer {API_KEY}") not in guarded.received
    (tmp_path / "key").write_text(f"{API_KEY}\n")
    key = {"TEMPORAL_API_KEY": API_KEY} if how == "variable" else {"TEMPORAL_API_KEY_FILE": str(tmp_path / "key")}
    assert is_let_in(trusting(guarded, authority, **key))
    assert on_the_wire(f"Bearer {API_KEY}") in guarded.received
    assert access_from(key).tls is True  # also without any other variable


def test_the_lambda_signals_a_queue_through_mutual_tls_with_a_key(
    mutual: TlsProxy, authority: Authority, handler: ModuleType, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = trusting(mutual, authority, **showing(authority.issue("client")), TEMPORAL_API_KEY=API_KEY)
    for name, value in {**variables, "TEMPORAL_NAMESPACE": settings.temporal_namespace}.items():
        monkeypatch.setenv(name, value)
    entity = {"bucket": {"name": "b"}, "object": {"key": "incoming/places/a.csv"}}
    assert handler.handle({"Records": [{"eventName": "ObjectCreated:Put", "s3": entity}]}, None) == {"announced": 1}
    with closing(TemporalClient.of(settings)) as temporal:
        assert temporal.queue_is_running("places")
    assert on_the_wire(f"Bearer {API_KEY}") in mutual.received


def test_worker_and_client_import_a_file_through_mutual_tls(
    mutual: TlsProxy, authority: Authority, settings: Settings, store: Store, environment: dict[str, str], tmp_path: Path
) -> None:
    variables = trusting(mutual, authority, **showing(authority.issue("client")))
    fields = {name.lower(): value for name, value in variables.items()}
    with (
        closing_worker({**environment, **variables}, tmp_path),
        closing(Bulkhead(settings.model_copy(update=fields), store)) as bulkhead,
    ):
        assert bulkhead.ingest(HEADER + "1,,a\n").state is State.SUCCEEDED


def test_commands_and_the_doctor_say_it_and_end_with_seven(
    guarded: TlsProxy, authority: Authority, settings: Settings, environment: dict[str, str]
) -> None:
    variables = trusting(guarded, authority, TEMPORAL_TLS_SERVER_NAME="elsewhere.internal")
    command = [sys.executable, "-m", "pipeline.cli", "reconcile"]
    done = subprocess.run(command, env={**environment, **variables}, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert "for another name" in done.stderr
    told = checked("Temporal", settings.model_copy(update={name.lower(): value for name, value in variables.items()}))
    assert not told.ok
    assert told.detail == (
        f"Temporal at {guarded.address} cannot be used: its certificate is for another name than the one it is connected by"
    )
    assert told.mend.startswith("Set TEMPORAL_ADDRESS to a name in the certificate")


def test_a_namespace_that_is_not_there(temporal_address: str) -> None:
    access = access_from({"TEMPORAL_ADDRESS": temporal_address, "TEMPORAL_NAMESPACE": "nowhere"})
    with (
        closing(TemporalClient(access, "bulkhead")) as temporal,
        pytest.raises(Unreachable, match=r"has no namespace 'nowhere'\. Create it, or set TEMPORAL_NAMESPACE"),
    ):
        temporal.announce(ObjectArrived("b", "incoming/places/a.csv"))


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TEMPORAL_TLS": "perhaps"}, "TEMPORAL_TLS is 'perhaps'. Set it to true or false"),
        (
            {"TEMPORAL_TLS_SERVER_CA_CERT_PATH": "/none.pem"},
            "TEMPORAL_TLS_SERVER_CA_CERT_PATH names /none.pem, which cannot be read",
        ),
        ({"TEMPORAL_TLS_SERVER_CA_CERT_DATA": "x"}, "TEMPORAL_TLS_SERVER_CA_CERT_DATA is not PEM"),
        ({"TEMPORAL_CONFIG_FILE": "/none.toml"}, "TEMPORAL_CONFIG_FILE names /none.toml, and there is no such file"),
        ({"TEMPORAL_API_KEY": "k", "TEMPORAL_API_KEY_FILE": "/k"}, "Both TEMPORAL_API_KEY and TEMPORAL_API_KEY_FILE are set"),
        ({"TEMPORAL_API_KEY_FILE": "/none"}, "TEMPORAL_API_KEY_FILE names /none, which cannot be read"),
        ({"TEMPORAL_TLS_CLIENT_CERT_DATA": "-----BEGIN X"}, "TEMPORAL_TLS_CLIENT_KEY_PATH is not. Mutual TLS needs both"),
    ],
)
def test_what_cannot_be_used_is_named(variables: dict[str, str], told: str) -> None:
    with pytest.raises(InvalidConfiguration, match=told.replace(".", r"\.")):
        access_from(variables)


def test_an_empty_variable_is_not_set_and_a_file_in_the_home_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporalio").mkdir()
    (tmp_path / "temporalio" / "temporal.toml").write_text('[profile.default]\naddress = "elsewhere:1"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    nothing: dict[str, Any] = json.loads('{"TEMPORAL_TLS": "", "TEMPORAL_API_KEY": "", "TEMPORAL_ADDRESS": ""}')
    access = access_from(nothing)
    assert (access.address, access.namespace, access.tls, access.api_key) == ("127.0.0.1:7233", "default", False, None)

"""Connect to Temporal, and say in words why that fails: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from temporalio.client import Client, Interceptor
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from pipeline.errors import Unreachable
from pipeline.temporal_access.options import TemporalAccess
from pipeline.temporal_access.payload_codec import data_converter

_CA = "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
_TLS_FAULTS = {  # what the SDK's TLS library (rustls) says: what that means, and what to do
    "UnknownIssuer": (
        "its certificate is not signed by an authority that is trusted here",
        f"Set {_CA} to the certificate of the authority that signed the server's.",
    ),
    "NotValidForName": (
        "its certificate is for another name than the one it is connected by",
        "Set TEMPORAL_ADDRESS to a name in the certificate, or TEMPORAL_TLS_SERVER_NAME to that name.",
    ),
    "InvalidCertificate(Expired": (
        "its certificate has expired",
        "Renew the server's certificate, or check this machine's clock.",
    ),
    "InvalidCertificate(NotValidYet": (
        "its certificate is not valid yet",
        "Check this machine's clock, and the server's certificate.",
    ),
    "InvalidCertificate(": ("its certificate cannot be used", f"Check the server's certificate and {_CA}."),
    "InconsistentKeys": (
        "the client's key does not belong to its certificate",
        "Set TEMPORAL_TLS_CLIENT_KEY_PATH to the key of TEMPORAL_TLS_CLIENT_CERT_PATH.",
    ),
    "InvalidContentType": (
        "it does not speak TLS at this port",
        "Set TEMPORAL_ADDRESS to its TLS port; for a server without TLS unset TEMPORAL_TLS, TEMPORAL_TLS_..."
        " and TEMPORAL_API_KEY.",
    ),
}
_CLOSED = ("UnexpectedEof", "BrokenPipe", "ConnectionReset", "AlertReceived", "connection closed", "stream closed")
"""What is said when the server ends a connection without a word, as it does in a TLS handshake that it does not want."""


async def connect(access: TemporalAccess, interceptors: Sequence[Interceptor] = ()) -> Client:
    """Return a connected client; ``interceptors`` are its own and those of the workers that use it.

    Raises Unreachable, InvalidConfiguration for keys that cannot be used.
    """
    converter = data_converter(access.payload_keys)
    try:
        return await Client.connect(
            access.address,
            namespace=access.namespace,
            api_key=access.api_key,
            tls=access.tls,
            rpc_metadata=access.metadata,
            data_converter=converter,
            interceptors=interceptors,
        )
    except RuntimeError as error:
        raise Unreachable(connecting_failed(access, str(error))) from error


def connecting_failed(access: TemporalAccess, said: str) -> str:
    """Return in words why no connection could be made; ``said`` is the SDK's message."""
    for sign, (wrong, cure) in _TLS_FAULTS.items():
        if sign in said:
            return f"Temporal at {access.address} cannot be used: {wrong}. {cure}"
    if "Unauthenticated" in said or "PermissionDenied" in said:
        return _refused(access)
    if any(sign in said for sign in _CLOSED):
        return f"Temporal at {access.address} closed the connection. {_why_closed(access)}"
    return f"Temporal does not answer at {access.address}. Start it, or check TEMPORAL_ADDRESS. ({_inner(said)})"


def call_failed(access: TemporalAccess, error: BaseException) -> str:
    """Return in words why a call was not answered."""
    if isinstance(error, RPCError):
        if error.status in (RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED):
            return _refused(access)
        if error.status is RPCStatusCode.NOT_FOUND and "amespace" in error.message:
            return (
                f"Temporal at {access.address} has no namespace {access.namespace!r}."
                " Create it, or set TEMPORAL_NAMESPACE (in Temporal Cloud: name.account)."
            )
    said = str(error)
    if any(sign in said for sign in (*_TLS_FAULTS, *_CLOSED)):
        return connecting_failed(access, said)
    return f"Temporal does not answer at {access.address}: {said or type(error).__name__}"


def _refused(access: TemporalAccess) -> str:
    how = "the API key" if access.api_key else "the client certificate" if access.has_client_certificate else "the client"
    cure = "Check TEMPORAL_API_KEY: it may have expired, be revoked, or be for another namespace."
    if access.api_key is None:
        cure = "Set TEMPORAL_API_KEY, or a client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH) that the namespace accepts."
    return f"Temporal at {access.address} refuses {how} for namespace {access.namespace!r}. {cure}"


def _why_closed(access: TemporalAccess) -> str:
    if not isinstance(access.tls, TLSConfig) and not access.tls:
        return "It may expect TLS: set TEMPORAL_TLS=true, or TEMPORAL_API_KEY."
    if not access.has_client_certificate:
        return (
            "It may expect a client certificate (mutual TLS):"
            " set TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH."
        )
    return (
        "It does not accept the client certificate: check that the one in TEMPORAL_TLS_CLIENT_CERT_PATH has not expired,"
        " and that the server trusts the authority that signed it."
    )


def _inner(said: str) -> str:
    """Return the last words in quotes of an error that the SDK nests, such as ``Connection refused``."""
    quoted = said.split('"')[1::2]
    return quoted[-1] if quoted else said

"""The payload codec: encrypt the arguments, results, signals, summaries and failures that Temporal stores, by AES-256-GCM.

``BULKHEAD_PAYLOAD_KEYS`` is a list ``id:key,id:key``; a key is 32 bytes in base64. The first one encrypts, all of them
decrypt, so a new key is put in front and the old one removed when no run needs it any more. A payload has the form of
Temporal's own example of an encryption codec (metadata ``encoding`` and ``encryption-key-id``, then nonce and ciphertext), so
that a codec server for it works here too. A payload that is not encrypted is left as it is: runs that began before the
keys were set go on.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from pipeline.errors import InvalidConfiguration, NotReady

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ENCODING = b"binary/encrypted"
KEY_BYTES, NONCE_BYTES = 32, 12
"""Of AES-256, and of a random nonce for GCM: NIST SP 800-38D allows 2^32 messages with one key."""

NEW_KEY = """python -c 'import base64, os; print("k1:" + base64.b64encode(os.urandom(32)).decode())'"""


def data_converter(payload_keys: str) -> DataConverter:
    """Return the converter for a client with these keys; without any, payloads are stored as they are.

    Also a client without keys refuses what is encrypted: the SDK would drop a signal that it cannot read.
    """
    if not payload_keys:
        return replace(DataConverter.default, payload_codec=EncryptionCodec({}))
    return replace(
        DataConverter.default,
        payload_codec=EncryptionCodec(keys_in(payload_keys)),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def keys_in(text: str) -> dict[str, bytes]:
    """Return the keys by their ids, in order. Raises InvalidConfiguration, which repeats no key."""
    keys: dict[str, bytes] = {}
    for number, one in enumerate(text.split(","), start=1):
        key_id, colon, encoded = one.strip().partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not key_id or not colon or len(key) != KEY_BYTES:
            which = f"key {key_id!r}" if colon and key_id else f"entry {number}"
            raise InvalidConfiguration(
                f"BULKHEAD_PAYLOAD_KEYS: {which} is not of the form id:key with a key of {KEY_BYTES} bytes in base64."
                f" This prints one: {NEW_KEY}"
            )
        if key_id in keys:
            raise InvalidConfiguration(
                f"BULKHEAD_PAYLOAD_KEYS: the id {key_id!r} is there twice. Give each key an id of its own."
            )
        keys[key_id] = key
    return keys


class EncryptionCodec(PayloadCodec):
    """Encrypts with the first key, if there is one; decrypts with the one that a payload names."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._first = next(iter(keys), None)
        self._ciphers: dict[str, AESGCM] = {}
        if keys:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to import, and few need it

            self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads encrypted."""
        return list(payloads) if self._first is None else [self._encrypted(one, self._first) for one in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return the payloads decrypted. Raises NotReady if a key is missing, or is another one of the same id."""
        return [self._decrypted(one) for one in payloads]

    def _encrypted(self, payload: Payload, key_id: str) -> Payload:
        nonce = os.urandom(NONCE_BYTES)
        return Payload(
            metadata={"encoding": ENCODING, "encryption-key-id": key_id.encode()},
            data=nonce + self._ciphers[key_id].encrypt(nonce, payload.SerializeToString(), None),
        )

    def _decrypted(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        from cryptography.exceptions import InvalidTag

        key_id = payload.metadata.get("encryption-key-id", b"").decode(errors="replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            has = f"has only: {', '.join(self._ciphers)}" if self._ciphers else "is not set here"
            raise NotReady(
                f"Temporal has a payload that was encrypted with the key {key_id!r}; BULKHEAD_PAYLOAD_KEYS {has}."
                " Add that key behind the first one, on every worker, web app and Lambda."
            )
        try:
            clear = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], None)
        except InvalidTag as error:
            raise NotReady(
                f"A payload in Temporal cannot be decrypted with the key {key_id!r} in BULKHEAD_PAYLOAD_KEYS: it was encrypted"
                " with another key of that id, or was changed. Restore the former key; give a new one a new id."
            ) from error
        return Payload.FromString(clear)

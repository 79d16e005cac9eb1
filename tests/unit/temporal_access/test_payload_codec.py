"""Keys of payloads: which texts are keys, and what is said of those that are not."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest
from temporalio.api.common.v1 import Payload

from pipeline.errors import InvalidConfiguration, NotReady
from pipeline.temporal_access.options import access_from
from pipeline.temporal_access.payload_codec import ENCODING, EncryptionCodec, keys_in

CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'"places"')


def key(letter: str) -> str:
    return base64.b64encode(letter.encode() * 32).decode()


def test_the_first_key_encrypts_and_all_of_them_decrypt() -> None:
    old, both = EncryptionCodec(keys_in(f"k1:{key('a')}")), EncryptionCodec(keys_in(f" k2:{key('b')} , k1:{key('a')}"))
    before, after = asyncio.run(old.encode([CLEAR])), asyncio.run(both.encode([CLEAR]))
    assert [one.metadata["encryption-key-id"] for one in (*before, *after)] == [b"k1", b"k2"]
    assert {one.metadata["encoding"] for one in (*before, *after)} == {ENCODING}
    assert asyncio.run(both.decode([*before, *after, CLEAR])) == [CLEAR] * 3
    assert b"places" not in before[0].data
    assert asyncio.run(old.encode([CLEAR])) != before  # a nonce of its own each time


def test_a_key_that_is_missing_or_another_of_the_same_id_is_named() -> None:
    encrypted = asyncio.run(EncryptionCodec(keys_in(f"k1:{key('a')}")).encode([CLEAR]))
    with pytest.raises(NotReady, match=r"encrypted with the key 'k1'; BULKHEAD_PAYLOAD_KEYS has only: k2, k3\. Add that key"):
        asyncio.run(EncryptionCodec(keys_in(f"k2:{key('b')},k3:{key('c')}")).decode(encrypted))
    with pytest.raises(NotReady, match="BULKHEAD_PAYLOAD_KEYS is not set here"):
        asyncio.run(EncryptionCodec({}).decode(encrypted))
    assert asyncio.run(EncryptionCodec({}).encode([CLEAR])) == [CLEAR]
    with pytest.raises(NotReady, match="another key of that id, or was changed"):
        asyncio.run(EncryptionCodec(keys_in(f"k1:{key('b')}")).decode(encrypted))
    encrypted[0].data = encrypted[0].data[:-1] + bytes([encrypted[0].data[-1] ^ 1])
    with pytest.raises(NotReady, match="was changed"):
        asyncio.run(EncryptionCodec(keys_in(f"k1:{key('a')}")).decode(encrypted))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("secretsecretsecret", "entry 1 is not of the form id:key"),
        (f"k1:{key('a')},", "entry 2 is not"),
        (f":{key('a')}", "entry 1 is not"),
        ("k1:c2VjcmV0", "key 'k1' is not of the form id:key with a key of 32 bytes in base64"),
        (f"k1:{key('a')}!", "key 'k1' is not"),
        (f"k1:{key('a')},k1:{key('b')}", "the id 'k1' is there twice"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(text: str, told: str) -> None:
    with pytest.raises(InvalidConfiguration, match=told) as refused:
        keys_in(text)
    assert not any(part in str(refused.value) for part in ("secret", "c2VjcmV0", key("a")))


def test_keys_from_a_file_and_none_in_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"k1:{key('a')}\n")
    access = access_from({"BULKHEAD_PAYLOAD_KEYS_FILE": str(tmp_path / "keys"), "TEMPORAL_API_KEY": "hidden"})
    assert access.payload_keys == f"k1:{key('a')}"
    assert not any(secret in repr(access) for secret in (key("a"), "hidden"))

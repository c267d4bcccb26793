"""RSA proofs, keys that are none, and who is offered what."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iax import (
    Account,
    CallAnswered,
    CallEnded,
    Encryption,
    Endpoint,
    PeerConfig,
    Registered,
    RegistrationRejected,
)
from iax.auth import AUTH_MD5, AUTH_RSA, methods_of, rsa_matches_untrusted, rsa_result
from iax.elements import Element, decode_untrusted
from iax.exchange import Exchange
from tests.iax.keys import PRIVATE_KEY, PUBLIC_KEY
from tests.iax.network import Network, Phone
from tests.iax.rawpeer import SERVER


def test_openssl_accepts_our_signature(tmp_path: Path) -> None:
    import base64

    (tmp_path / "key").write_bytes(PUBLIC_KEY)
    (tmp_path / "text").write_bytes(b"123456789")
    (tmp_path / "signature").write_bytes(base64.b64decode(rsa_result(b"123456789", PRIVATE_KEY)))
    command = ["openssl", "dgst", "-sha1", "-verify", "key", "-signature", "signature", "text"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified OK" in done.stdout, done.stderr


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=255))
def test_no_other_result_passes(result: bytes) -> None:
    assert not rsa_matches_untrusted(b"123456789", PUBLIC_KEY, result)


def test_keys_that_are_none_are_told() -> None:
    for key in (b"nonsense", PRIVATE_KEY[:200], PUBLIC_KEY):
        with pytest.raises(ValueError, match="private key"):
            PeerConfig(SERVER, "a", private_key=key)
    with pytest.raises(ValueError, match="public key"):
        Account("a", public_key=PRIVATE_KEY)


def test_a_secret_in_clear_does_not_go_with_encryption_that_is_required() -> None:
    with pytest.raises(ValueError, match="one of the two"):
        PeerConfig(SERVER, "a", "s", encryption=Encryption.REQUIRED, allow_plaintext=True)


def test_all_are_offered_the_same() -> None:
    accounts = [Account("a", "s"), Account("b", public_key=PUBLIC_KEY)]
    assert methods_of(accounts) == AUTH_MD5 | AUTH_RSA
    assert methods_of([]) == AUTH_MD5


def phone_and_exchange() -> tuple[Network, Phone]:
    network = Network()
    accounts = [Account("rsa", public_key=PUBLIC_KEY), Account("md5", "secret")]
    network.add(SERVER, Exchange(accounts, random.Random(1)))
    return network, Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))


def test_registers_and_calls_with_a_key() -> None:
    network, phone = phone_and_exchange()
    peer = PeerConfig(SERVER, "rsa", "other secret", private_key=PRIVATE_KEY)
    phone.endpoint.register(peer, network.now)
    phone.wait(Registered)
    phone.endpoint.call(peer, "echo", network.now)
    phone.wait(CallAnswered)
    sent = [packet.datagram for packet in network.sent if packet.destination == SERVER]
    proofs = [decode_untrusted(datagram[12:]) for datagram in sent if Element.RSA_RESULT in datagram[12:]]
    assert any(Element.RSA_RESULT in proof for proof in proofs)


def test_md5_will_not_do_for_an_account_with_a_key_only() -> None:
    network, phone = phone_and_exchange()
    peer = PeerConfig(SERVER, "rsa", "guess")
    phone.endpoint.register(peer, network.now)
    assert isinstance(phone.wait(RegistrationRejected), RegistrationRejected)
    phone.endpoint.call(peer, "echo", network.now)
    ended = phone.wait(CallEnded)
    assert isinstance(ended, CallEnded)
    assert ended.cause == 50


def test_a_server_that_calls_us_may_have_to_prove_itself() -> None:
    for secret, answered in (("secret", True), ("another", False)):
        network = Network()
        network.add(SERVER, Exchange([Account("md5", "secret", "200"), Account("a", "sa")], random.Random(1)))
        caller = Phone(network, ("192.0.2.2", 4570), Endpoint(random.Random(2)))
        called = Phone(network, ("192.0.2.3", 4570), Endpoint(random.Random(3)))
        called.endpoint.register(PeerConfig(SERVER, "md5", "secret"), network.now)
        called.wait(Registered)
        known = called.endpoint._registrations[0].peer
        called.endpoint.remove_peer(known)
        called.endpoint.add_peer(PeerConfig(SERVER, "md5", secret, challenge_calls=True))
        caller.endpoint.call(PeerConfig(SERVER, "a", "sa"), "200", network.now)
        network.run(1)
        incoming = [event for event in called.collect() if type(event).__name__ == "IncomingCall"]
        assert bool(incoming) is answered

"""Proving who one is: MD5 and RSA challenges, call tokens (RFC 5456 §8.6.13–15, RFC 5457; AST-2009-006)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from iax.caller_id import Presentation
from iax.elements import Element, Elements, Pair
from iax.encryption import Encryption
from iax.frames import Address

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

AUTH_PLAINTEXT, AUTH_MD5, AUTH_RSA = 1, 2, 4

CALL_TOKEN_LIFE_S = 10.0
CALL_TOKEN_OCTETS = 9
_TOKEN_TICK_S = 0.25
_TOKEN_TIMES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class AuthenticationRefusedError(Exception):
    """We do not answer this challenge; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A server that we register with and call through. ValueError if a key cannot be used."""

    address: Address
    username: str = ""
    secret: str = field(default="", repr=False)
    refresh_s: int = 60
    """Registration life to ask for; the server's answer counts."""
    context: str = ""
    allow_plaintext: bool = False
    """Answer a server that takes nothing but the plain password."""
    alternatives: tuple[Address, ...] = ()
    """Servers to register with and call through while `address` does not answer, in this order."""
    private_key: bytes = field(default=b"", repr=False)
    """PEM of our RSA key; with it we answer RSA challenges."""
    server_key: bytes = b""
    """PEM of the server's public RSA key, for `challenge_calls`."""
    encryption: Encryption = Encryption.OFF
    """Needs `secret`: the key is made from it, and so never with RSA."""
    key_rotation: bool = True
    """Change the key of an encrypted call every few minutes, if the server knows how."""
    challenge_calls: bool = False
    """Its calls to us must prove `secret` or `server_key` too. Calls that are to be encrypted always do."""
    presentation: Presentation | None = None
    """Whether our number may be shown, in calls that do not say it themselves; None: it may."""
    demand_call_token: bool = False
    """Its calls to us must return a call token first: nobody else can make one with its address."""
    trunk: bool = False
    """Send the voice of all its calls in common datagrams (trunk frames)."""
    reliable_voice: bool = False
    """Send voice in full frames: those lost are sent again. For fax receivers that do not conceal loss."""
    keep_alive_s: float | None = None
    """POKE it this often, to keep a NAT's door open; 0: never; None: every 20 s if there seems to be a
    NAT."""
    follow_transfers: bool = False
    """Go on directly with the far end when the server wants to take itself out of a call (TXREQ)."""
    accept_from: tuple[str, ...] = ()
    """Hosts, by address, whose calls are taken as the server's, from any port."""

    def __post_init__(self) -> None:
        if self.private_key:
            _private_key(self.private_key)
        if self.server_key:
            _public_key(self.server_key)
        if self.encryption is Encryption.REQUIRED and not self.secret:
            raise ValueError("encryption needs a secret: the key is made from it")
        if self.encryption is Encryption.REQUIRED and self.allow_plaintext:
            raise ValueError("encryption that is required, and a secret in clear: allow one of the two")

    def caller(self) -> Account:
        """Return who calls from this server have to prove to be."""
        return Account(
            self.username,
            self.secret,
            public_key=self.server_key,
            encryption=self.encryption,
            key_rotation=self.key_rotation,
        )


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may register with us or call us, when we are the server. ValueError for an unusable key."""

    name: str
    secret: str = field(default="", repr=False)
    number: str = ""
    public_key: bytes = b""
    """PEM of the RSA key that it signs with; with it, RSA is offered too."""
    encryption: Encryption = Encryption.OFF
    key_rotation: bool = True
    trunk: bool = False
    """Send it trunk frames."""

    def __post_init__(self) -> None:
        if self.public_key:
            _public_key(self.public_key)

    @classmethod
    def parse(cls, text: str) -> Account:
        """Return the account written NAME:SECRET or NAME:SECRET:NUMBER; raise ValueError with a sentence."""
        name, *rest = text.split(":")
        if not name or not rest or not rest[0] or len(rest) > 2:
            known = text.partition(":")[0]
            raise ValueError(f"account {known!r} is not written NAME:SECRET or NAME:SECRET:NUMBER")
        return cls(name, rest[0], rest[1] if len(rest) > 1 else "")

    @property
    def methods(self) -> int:
        """Return the AUTHMETHODS by which it can prove itself."""
        return (AUTH_MD5 if self.secret else 0) | (AUTH_RSA if self.public_key else 0)

    def proven_by_untrusted(self, challenge: bytes, elements: Elements) -> bool:
        """Say whether the answer to CHALLENGE comes from this account."""
        if self.public_key and Element.RSA_RESULT in elements:
            return rsa_matches_untrusted(challenge, self.public_key, elements.raw(Element.RSA_RESULT))
        return bool(self.secret) and md5_matches(challenge, self.secret, elements.raw(Element.MD5_RESULT))


Accounts = Mapping[str, Account]


def methods_of(accounts: Iterable[Account]) -> int:
    """Return the AUTHMETHODS to offer to anyone, so that the offer does not tell who has an account."""
    methods = 0
    for account in accounts:
        methods |= account.methods
    return methods or AUTH_MD5


def md5_result(challenge: bytes, secret: str) -> bytes:
    """Return the MD5 RESULT for CHALLENGE: lower-case hex of MD5(challenge, secret)."""
    return md5_key(challenge, secret).hex().encode()


def md5_key(challenge: bytes, secret: str) -> bytes:
    """Return MD5(challenge, secret): the first AES key of a call that is encrypted."""
    return hashlib.md5(challenge + secret.encode()).digest()


def answer_challenge(peer: PeerConfig, methods: int | None, challenge: bytes) -> Pair:
    """Return the element that proves us to PEER; raise `AuthenticationRefusedError`.

    The strongest that is offered: RSA if a key is configured, MD5, and the plain password only if the
    configuration allows it. With `Encryption.REQUIRED` nothing but MD5.
    """
    if not peer.secret and not peer.private_key:
        raise AuthenticationRefusedError("the server asks for a secret, but none is configured")
    offered = AUTH_MD5 if methods is None else methods
    if offered & (AUTH_MD5 | AUTH_RSA) and not challenge:
        raise AuthenticationRefusedError("the server asks for MD5 or RSA but sent no challenge")
    if offered & AUTH_RSA and peer.private_key and peer.encryption is not Encryption.REQUIRED:
        return Element.RSA_RESULT, rsa_result(challenge, peer.private_key)
    if offered & AUTH_MD5 and peer.secret:
        return Element.MD5_RESULT, md5_result(challenge, peer.secret)
    if offered & AUTH_PLAINTEXT and peer.secret:
        if peer.allow_plaintext:
            return Element.PASSWORD, peer.secret.encode()
        raise AuthenticationRefusedError("the server wants the secret in clear; that is not allowed here")
    if offered & AUTH_RSA:
        raise AuthenticationRefusedError("the server wants an RSA signature; configure our private key")
    raise AuthenticationRefusedError("the server offers neither MD5 nor anything else we can do")


def md5_matches(challenge: bytes, secret: str, result: bytes) -> bool:
    """Say whether RESULT proves SECRET, in constant time and without regard to case."""
    return hmac.compare_digest(md5_result(challenge, secret), result.lower())


def rsa_result(challenge: bytes, private_key: bytes) -> bytes:
    """Return the RSA RESULT for CHALLENGE: base64 of its signature (PKCS#1 v1.5, SHA-1)."""
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - see _private_key
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415

    key = _private_key(private_key)
    return base64.b64encode(key.sign(challenge, PKCS1v15(), hashes.SHA1()))  # noqa: S303 - the protocol's


def rsa_matches_untrusted(challenge: bytes, public_key: bytes, result: bytes) -> bool:
    """Say whether RESULT is a signature of CHALLENGE by the owner of PUBLIC_KEY."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - see _private_key
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415

    try:
        signature = base64.b64decode(result, validate=True)
        _public_key(public_key).verify(signature, challenge, PKCS1v15(), hashes.SHA1())  # noqa: S303
    except (InvalidSignature, binascii.Error):
        return False
    return True


def check_private_key(pem: bytes) -> None:
    """Raise ValueError with a sentence unless PEM holds a private RSA key without a passphrase."""
    _private_key(pem)


def check_public_key(pem: bytes) -> None:
    """Raise ValueError with a sentence unless PEM holds a public RSA key."""
    _public_key(pem)


@lru_cache(maxsize=256)
def _private_key(pem: bytes) -> RSAPrivateKey:
    # imported here, so that those who do not use RSA need not load (or have) the library
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("this is no private key in PEM without a passphrase") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("this private key is not for RSA, the only kind that IAX2 knows")
    return key


@lru_cache(maxsize=1024)
def _public_key(pem: bytes) -> RSAPublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("this is no public key in PEM") from error
    if not isinstance(key, RSAPublicKey):
        raise ValueError("this public key is not for RSA, the only kind that IAX2 knows")
    return key


def new_challenge(rng: random.Random) -> bytes:
    """Return a fresh challenge: a decimal number as text."""
    return b"%d" % rng.randrange(100_000_000, 1_000_000_000)


class CallTokens:
    """Server side of call tokens: proves that a stranger receives what is sent to its address, keeping no
    state.

    A token is short, so that the demand for it is hardly longer than what asked for it: a letter that tells
    the time modulo 16 s, and 48 bits of a keyed digest of address and time. It is text: chan_iax2 takes no
    other.
    """

    def __init__(self, rng: random.Random) -> None:
        self._key = rng.randbytes(32)

    def make(self, address: Address, now: float) -> bytes:
        """Return a token that ADDRESS may use until `CALL_TOKEN_LIFE_S` after NOW."""
        return self._token(int(now / _TOKEN_TICK_S), address)

    def valid_untrusted(self, token: bytes, address: Address, now: float) -> bool:
        """Say whether TOKEN was made for ADDRESS and is still fresh."""
        if len(token) != CALL_TOKEN_OCTETS:
            return False
        tick = int(now / _TOKEN_TICK_S)
        age = (tick - _TOKEN_TIMES.find(token[:1])) % len(_TOKEN_TIMES)
        fresh = age * _TOKEN_TICK_S <= CALL_TOKEN_LIFE_S
        return fresh and hmac.compare_digest(token, self._token(tick - age, address))

    def _token(self, tick: int, address: Address) -> bytes:
        text = b"%s:%d?%d" % (address[0].encode(), address[1], tick)
        digest = hmac.new(self._key, text, hashlib.sha256).digest()[:6]
        letter = tick % len(_TOKEN_TIMES)
        return _TOKEN_TIMES[letter : letter + 1] + base64.urlsafe_b64encode(digest)

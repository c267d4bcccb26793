"""Proving who one is: MD5 challenges and call tokens (RFC 5456 §8.6.13–15, RFC 5457; AST-2009-006)."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from iax.elements import Element, Pair
from iax.frames import Address

AUTH_PLAINTEXT, AUTH_MD5, AUTH_RSA = 1, 2, 4

CALL_TOKEN_LIFE_S = 10.0


class AuthenticationRefusedError(Exception):
    """We do not answer this challenge; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A server that we register with and call through."""

    address: Address
    username: str = ""
    secret: str = field(default="", repr=False)
    refresh_s: int = 60
    """Registration life to ask for; the server's answer counts."""
    context: str = ""
    allow_plaintext: bool = False
    """Answer a server that takes nothing but the plain password."""


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may register with us or call us, when we are the server."""

    name: str
    secret: str = field(default="", repr=False)
    number: str = ""

    @classmethod
    def parse(cls, text: str) -> Account:
        """Return the account written NAME:SECRET or NAME:SECRET:NUMBER; raise ValueError with a sentence."""
        name, *rest = text.split(":")
        if not name or not rest or not rest[0] or len(rest) > 2:
            known = text.partition(":")[0]
            raise ValueError(f"account {known!r} is not written NAME:SECRET or NAME:SECRET:NUMBER")
        return cls(name, rest[0], rest[1] if len(rest) > 1 else "")


Accounts = Mapping[str, Account]


def md5_result(challenge: bytes, secret: str) -> bytes:
    """Return the MD5 RESULT for CHALLENGE: lower-case hex of MD5(challenge, secret)."""
    return hashlib.md5(challenge + secret.encode()).hexdigest().encode()


def answer_challenge(peer: PeerConfig, methods: int | None, challenge: bytes) -> Pair:
    """Return the element that proves our secret to PEER; raise `AuthenticationRefusedError`.

    MD5 whenever it is offered; the plain password only if the configuration allows it.
    """
    if not peer.secret:
        raise AuthenticationRefusedError("the server asks for a secret, but none is configured")
    if methods is None or methods & AUTH_MD5:
        if not challenge:
            raise AuthenticationRefusedError("the server asks for MD5 but sent no challenge")
        return Element.MD5_RESULT, md5_result(challenge, peer.secret)
    if methods & AUTH_PLAINTEXT:
        if peer.allow_plaintext:
            return Element.PASSWORD, peer.secret.encode()
        raise AuthenticationRefusedError("the server wants the secret in clear; that is not allowed here")
    raise AuthenticationRefusedError("the server offers neither MD5 nor anything else we can do")


def md5_matches(challenge: bytes, secret: str, result: bytes) -> bool:
    """Say whether RESULT proves SECRET, in constant time and without regard to case."""
    return hmac.compare_digest(md5_result(challenge, secret), result.lower())


def new_challenge(rng: random.Random) -> bytes:
    """Return a fresh challenge: a decimal number as text."""
    return b"%d" % rng.randrange(100_000_000, 1_000_000_000)


class CallTokens:
    """Server side of call tokens: proves that a stranger receives what is sent to its address, keeping no
    state."""

    def __init__(self, rng: random.Random) -> None:
        self._key = rng.randbytes(32)

    def make(self, address: Address, now: float) -> bytes:
        """Return a token that ADDRESS may use until `CALL_TOKEN_LIFE_S` after NOW."""
        stamp = b"%d" % int(now * 1000)
        return stamp + b"?" + self._digest(stamp, address)

    def valid_untrusted(self, token: bytes, address: Address, now: float) -> bool:
        """Say whether TOKEN was made for ADDRESS and is still fresh."""
        stamp, mark, digest = token.partition(b"?")
        if not mark or not stamp.isdigit() or len(stamp) > 15:
            return False
        age_s = now - int(stamp) / 1000
        return -0.001 <= age_s <= CALL_TOKEN_LIFE_S and hmac.compare_digest(
            digest, self._digest(stamp, address)
        )

    def _digest(self, stamp: bytes, address: Address) -> bytes:
        text = b"%s:%d?%s" % (address[0].encode(), address[1], stamp)
        return hmac.new(self._key, text, hashlib.sha1).hexdigest().encode()

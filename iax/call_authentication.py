"""Challenges of calls, both sides, and the encryption agreed upon with them (RFC 5456 §6.2.4, §10)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from iax.auth import (
    Account,
    AuthenticationRefusedError,
    PeerConfig,
    answer_challenge,
    md5_key,
    new_challenge,
)
from iax.call_setup import encryption_mask
from iax.elements import Element, Elements, Pair
from iax.elements import decode_untrusted as decode_elements_untrusted
from iax.encryption import (
    AES128,
    KEY_OCTETS,
    KEY_ROTATION,
    Encryption,
    FrameCipher,
    Secrecy,
    UnreadableFrame,
)
from iax.frames import BadFrame, Command, FrameType

_PLAIN_BEFORE_AUTHREP = frozenset(
    {Command.NEW, Command.ACK, Command.VNAK, Command.INVAL, Command.HANGUP, Command.REJECT, Command.AUTHREP}
)


def answer_call_challenge(
    peer: PeerConfig, elements: Elements, rng: random.Random
) -> tuple[Pair, Secrecy | None]:
    """Return our proof for AUTHREQ, and the secrecy that begins with it if the server agreed to encrypt.

    Raises `AuthenticationRefusedError`.
    """
    challenge = elements.raw(Element.CHALLENGE)
    proof = answer_challenge(peer, elements.number(Element.AUTHMETHODS), challenge)
    common = (elements.number(Element.ENCRYPTION) or 0) & encryption_mask(
        peer.encryption, rotation=peer.key_rotation
    )
    if common & AES128 and proof[0] is Element.MD5_RESULT:
        key = md5_key(challenge, peer.secret)
        return proof, Secrecy(key, rng, rotates=bool(common & KEY_ROTATION))
    if peer.encryption is Encryption.REQUIRED:
        raise AuthenticationRefusedError("the server does not encrypt, but encryption is required here")
    return proof, None


class CallerCheck:
    """The server's side: one challenge to someone who says that he is one of CANDIDATES."""

    def __init__(
        self, candidates: Sequence[Account], methods: int, offered: int, rng: random.Random, username: str
    ) -> None:
        """OFFERED: the ENCRYPTION mask of the caller's NEW."""
        self._candidates = tuple(candidates)
        self._rng = rng
        self.challenge = new_challenge(rng)
        self.secrecy: Secrecy | None = None
        masks = [
            encryption_mask(account.encryption, rotation=account.key_rotation) & offered
            for account in candidates
        ]
        # the whole element or nothing: candidates at one address have the same configuration as a rule
        self._mask = max(masks, default=0)
        if not self._mask & AES128:
            self._mask = 0
        self.pairs: list[Pair] = [
            (Element.AUTHMETHODS, methods),
            (Element.CHALLENGE, self.challenge),
            (Element.USERNAME, username),
        ]
        if self._mask:
            self.pairs.append((Element.ENCRYPTION, self._mask))

    @property
    def encrypted(self) -> bool:
        """Whether the answer has to come encrypted."""
        return bool(self._mask)

    @property
    def lacks_encryption(self) -> bool:
        """Whether every candidate demands what the caller did not offer."""
        return (
            not self._mask
            and bool(self._candidates)
            and all(account.encryption is Encryption.REQUIRED for account in self._candidates)
        )

    def reveal_untrusted(self, datagram: bytes) -> bytes:
        """Return the frame in clear, having found the caller's key; raise `UnreadableFrame`."""
        if not self._mask or _plain_frame(datagram):
            return datagram
        for account in self._candidates:
            if not account.secret or account.encryption is Encryption.OFF:
                continue
            key = md5_key(self.challenge, account.secret)
            try:
                plain = FrameCipher(key, self._rng).decrypt_untrusted(datagram)
            except UnreadableFrame:
                continue
            if _first_encrypted(plain):
                self._candidates = (account,)
                self.secrecy = Secrecy(key, self._rng, rotates=bool(self._mask & KEY_ROTATION))
                self.secrecy.confirmed = True
                return plain
        raise UnreadableFrame("no candidate's key fits the frame")

    def proven(self, elements: Elements) -> Account | None:
        """Return who the caller has proved to be with AUTHREP, if anyone."""
        if self._mask and self.secrecy is None:
            return None
        for account in self._candidates:
            if account.proven_by_untrusted(self.challenge, elements):
                return account
        return None


def new_key(rng: random.Random) -> bytes:
    """Return a fresh key for RTKEY."""
    return rng.randbytes(KEY_OCTETS)


def _first_encrypted(datagram: bytes) -> bool:
    """Say whether this can be the first frame under the caller's key: AUTHREP, or what overtook it.

    One wrong key in 30,000 gives an acknowledgement, hardly any an AUTHREP.
    """
    if datagram[10] != FrameType.IAX:
        return False
    if datagram[11] in (Command.ACK, Command.VNAK):
        return len(datagram) == 12
    if datagram[11] not in (Command.AUTHREP, Command.HANGUP, Command.PING):
        return False
    try:
        elements = decode_elements_untrusted(datagram[12:])
    except BadFrame:
        return False
    return datagram[11] != Command.AUTHREP or Element.MD5_RESULT in elements


def _plain_frame(datagram: bytes) -> bool:
    if len(datagram) < 12 or datagram[10] != FrameType.IAX or datagram[11] not in _PLAIN_BEFORE_AUTHREP:
        return False
    try:
        decode_elements_untrusted(datagram[12:])
    except BadFrame:
        return False
    return True

"""AES-128 encryption of one call's frames, as chan_iax2 does it (RFC 5456 §10; with its key rotation).

From AUTHREP on every frame of the call is encrypted: of a full frame all but the first 4 octets, of a mini
frame all but the first 2. In front of the plaintext go 16 to 31 random octets, so many that the whole is a
multiple of 16; the low four bits of octet 15 tell how many beyond 16. AES-128-CBC with a zero vector: the
random first block is the vector. There is no check value: what was read with the wrong key is told by its
looks alone, and who can change datagrams can change audio. It hides a call from those who only listen.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import TYPE_CHECKING

from iax.elements import Element
from iax.elements import decode_untrusted as decode_elements_untrusted
from iax.frames import BadFrame, Command, FrameType

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import CBC

AES128 = 0x0001
KEY_ROTATION = 0x8000
"""Bits of the ENCRYPTION element; the second is chan_iax2's own."""
KEY_OCTETS = 16
OLD_KEY_LIFE_S = 10.0
"""Frames that were on their way when the peer changed its key are still read for so long."""

_FULL_CLEAR = 4
_MINI_CLEAR = 2
_FULL_HEADER = 12
_MINI_HEADER = 4
_BLOCK = 16
_TYPES = frozenset(int(frame_type) for frame_type in FrameType)
_COMMANDS = frozenset(int(command) for command in Command)


class Encryption(Enum):
    """Whether calls with a peer are encrypted."""

    OFF = "off"
    ALLOWED = "allowed"
    """Offered, and done if the peer does it too."""
    REQUIRED = "required"
    """No call without it."""


class UnreadableFrame(BadFrame):
    """The frame was not encrypted with any key of this call."""


class FrameCipher:
    """One key, one direction or both."""

    def __init__(self, key: bytes, rng: random.Random) -> None:
        if len(key) != KEY_OCTETS:
            raise ValueError(f"an AES-128 key has {KEY_OCTETS} octets, not {len(key)}")
        self._cipher = _aes_cbc(key)
        self._rng = rng

    def encrypt(self, datagram: bytes) -> bytes:
        """Return the full or mini frame DATAGRAM, encrypted."""
        clear = _FULL_CLEAR if datagram[0] & 0x80 else _MINI_CLEAR
        n = len(datagram) - clear
        excess = -n % _BLOCK
        padding = bytearray(self._rng.randbytes(_BLOCK + excess))
        padding[_BLOCK - 1] = padding[_BLOCK - 1] & 0xF0 | excess
        return datagram[:clear] + self._cipher.encryptor().update(bytes(padding) + datagram[clear:])

    def decrypt_untrusted(self, datagram: bytes) -> bytes:
        """Return the frame in clear; raise `UnreadableFrame` if it cannot have been encrypted at all."""
        full = datagram[0] & 0x80
        clear, header = (_FULL_CLEAR, _FULL_HEADER) if full else (_MINI_CLEAR, _MINI_HEADER)
        n = len(datagram) - clear
        if n < _BLOCK or n % _BLOCK:
            raise UnreadableFrame(f"{n} encrypted octets are not whole blocks")
        plain = self._cipher.decryptor().update(datagram[clear:])
        start = _BLOCK + (plain[_BLOCK - 1] & 0x0F)
        if clear + n < start + header:
            raise UnreadableFrame("padding runs past the frame: wrong key, or not encrypted")
        return datagram[:clear] + plain[start:]


class Secrecy:
    """Both directions of an encrypted call."""

    def __init__(self, key: bytes, rng: random.Random, *, rotates: bool) -> None:
        self.encryptor = FrameCipher(key, rng)
        self.rotates = rotates
        """Both sides know RTKEY."""
        self.confirmed = False
        """A frame of the peer has been read: it has the same key."""
        self._rng = rng
        self._decryptor = self.encryptor
        self._previous: FrameCipher | None = None
        self._previous_until = 0.0

    def change_sending_key(self, key: bytes) -> None:
        """Encrypt with KEY from now on (our RTKEY, which carries it, has gone out under the old one)."""
        self.encryptor = FrameCipher(key, self._rng)

    def change_receiving_key(self, key: bytes, now: float) -> None:
        """Decrypt with KEY from now on (the peer's RTKEY)."""
        self._previous, self._previous_until = self._decryptor, now + OLD_KEY_LIFE_S
        self._decryptor = FrameCipher(key, self._rng)

    def reveal_full_untrusted(self, datagram: bytes, now: float) -> bytes:
        """Return the full frame in clear; raise `UnreadableFrame`.

        Two kinds of frames come in clear: the challenge that began it all, when it is repeated; and, until
        the peer has shown that it has our key, its refusal.
        """
        for cipher in self._ciphers(now):
            try:
                plain = cipher.decrypt_untrusted(datagram)
            except UnreadableFrame:
                continue
            if plausible_full(plain):
                self.confirmed = True
                return plain
        if is_plain_challenge(datagram) or (not self.confirmed and is_plain_refusal(datagram)):
            return datagram
        raise UnreadableFrame("no key of this call fits the frame")

    def reveal_mini_untrusted(self, datagram: bytes, now: float) -> bytes:
        """Return the mini frame in clear under the key in force; raise `UnreadableFrame`."""
        return self._decryptor.decrypt_untrusted(datagram)

    def reveal_late_mini_untrusted(self, datagram: bytes, now: float) -> bytes | None:
        """Return the mini frame in clear under the key before, None if that is out of use."""
        if self._previous is None or now >= self._previous_until:
            return None
        return self._previous.decrypt_untrusted(datagram)

    def _ciphers(self, now: float) -> tuple[FrameCipher, ...]:
        if self._previous is None or now >= self._previous_until:
            return (self._decryptor,)
        return self._decryptor, self._previous


def plausible_full(datagram: bytes) -> bool:
    """Say whether a decrypted full frame looks like one; 1 in 20 does by chance."""
    return datagram[10] in _TYPES and (datagram[10] != FrameType.IAX or datagram[11] in _COMMANDS)


def is_plain_challenge(datagram: bytes) -> bool:
    """Say whether this is AUTHREQ in clear."""
    return _is_plain(datagram, Command.AUTHREQ, Element.CHALLENGE)


def is_plain_refusal(datagram: bytes) -> bool:
    """Say whether this is REJECT or HANGUP in clear."""
    return any(_is_plain(datagram, command, None) for command in (Command.REJECT, Command.HANGUP))


def _is_plain(datagram: bytes, command: Command, needed: Element | None) -> bool:
    if len(datagram) < _FULL_HEADER or datagram[10] != FrameType.IAX or datagram[11] != command:
        return False
    try:
        elements = decode_elements_untrusted(datagram[_FULL_HEADER:])
    except BadFrame:
        return False
    return needed is None or needed in elements


def _aes_cbc(key: bytes) -> Cipher[CBC]:
    # here, so that those who do not encrypt need not load (or have) the library
    from cryptography.hazmat.primitives.ciphers import Cipher  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.algorithms import AES  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.modes import CBC  # noqa: PLC0415

    return Cipher(AES(key), CBC(bytes(_BLOCK)))

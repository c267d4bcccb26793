"""NEW, the frame that begins a call: written for ours, read from theirs (RFC 5456 §6.2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from iax.auth import PeerConfig
from iax.caller_id import Presentation
from iax.elements import Element, Elements, Pair, clean_text, datetime_of, encode_datetime, fit_text
from iax.encryption import AES128, KEY_ROTATION, Encryption
from iax.formats import Format, capability, codec_prefs

PROTOCOL_VERSION = 2
MAX_NUMBER = 79
MAX_NAME = 79
"""Octets, as in chan_iax2 (AST_MAX_EXTENSION)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What NEW says, cut to length; "" or None: not given."""

    called_number: str
    dnid: str
    calling_number: str
    calling_name: str
    ani: str
    username: str
    called_context: str
    presentation: int | None
    date_time: datetime | None
    version: int | None
    wanted: int | None
    """FORMAT: the one the caller prefers."""
    capable: int
    """CAPABILITY: all it can do."""
    encryption: int
    """The ENCRYPTION mask; 0: none."""
    preferences: str
    """CODEC_PREFS: a letter for each format, the preferred one first."""


def read_new(elements: Elements) -> Offer:
    """Return what the elements of NEW say."""
    return Offer(
        called_number=fit_text(elements.text(Element.CALLED_NUMBER), MAX_NUMBER),
        dnid=fit_text(elements.text(Element.DNID), MAX_NUMBER),
        calling_number=fit_text(elements.text(Element.CALLING_NUMBER), MAX_NUMBER),
        calling_name=fit_text(elements.text(Element.CALLING_NAME), MAX_NAME),
        ani=fit_text(elements.text(Element.CALLING_ANI), MAX_NUMBER),
        username=fit_text(elements.text(Element.USERNAME), MAX_NAME),
        called_context=fit_text(elements.text(Element.CALLED_CONTEXT), MAX_NAME),
        presentation=elements.number(Element.CALLINGPRES),
        date_time=datetime_of(elements),
        version=elements.number(Element.VERSION),
        wanted=wide_number(elements, Element.FORMAT2, Element.FORMAT),
        capable=wide_number(elements, Element.CAPABILITY2, Element.CAPABILITY) or 0,
        encryption=elements.number(Element.ENCRYPTION) or 0,
        preferences=elements.text(Element.CODEC_PREFS),
    )


def write_new(
    peer: PeerConfig,
    number: str,
    *,
    calling_number: str,
    calling_name: str,
    presentation: Presentation | None,
    ani: str,
    formats: Sequence[Format],
    date_time: datetime | None,
) -> list[Pair]:
    """Return the elements of NEW in chan_iax2's order, VERSION first; the call token comes behind them.

    PRESENTATION None: as it may be with or without a CALLING_NUMBER.
    """
    if presentation is None:
        presentation = Presentation.ALLOWED if calling_number else Presentation.UNAVAILABLE
    mask = capability(formats)
    pairs: list[Pair] = [
        (Element.VERSION, PROTOCOL_VERSION),
        (Element.CALLED_NUMBER, number),
        (Element.CODEC_PREFS, codec_prefs(formats)),
    ]
    if calling_number:
        pairs.append((Element.CALLING_NUMBER, calling_number))
    pairs += [
        (Element.CALLINGPRES, int(presentation)),
        (Element.CALLINGTON, 0),
        (Element.CALLINGTNS, 0),
    ]
    if calling_name:
        pairs.append((Element.CALLING_NAME, calling_name))
    if ani:
        pairs.append((Element.CALLING_ANI, ani))
    pairs.append((Element.DNID, number))
    if peer.context:
        pairs.append((Element.CALLED_CONTEXT, peer.context))
    if peer.username:
        pairs.append((Element.USERNAME, peer.username))
    if (methods := encryption_mask(peer.encryption, rotation=peer.key_rotation)) and peer.secret:
        pairs.append((Element.ENCRYPTION, methods))
    pairs += [
        (Element.FORMAT, int(formats[0])),
        (Element.FORMAT2, int(formats[0])),
        (Element.CAPABILITY, mask),
        (Element.CAPABILITY2, mask),
    ]
    if date_time is not None:
        pairs.append((Element.DATETIME, encode_datetime(date_time)))
    return pairs


def encryption_mask(encryption: Encryption, *, rotation: bool) -> int:
    """Return the ENCRYPTION element's value; 0: leave it out."""
    if encryption is Encryption.OFF:
        return 0
    return AES128 | KEY_ROTATION if rotation else AES128


def wide_number(elements: Elements, wide: Element, narrow: Element) -> int | None:
    """Return the 64-bit form of a value if it is there, else the 32-bit one."""
    value = elements.number(wide)
    return elements.number(narrow) if value is None else value


def checked_number(number: str) -> str:
    """Return NUMBER if it can be dialled; raise ValueError."""
    if len(number.encode()) > MAX_NUMBER or clean_text(number) != number:
        raise ValueError(f"{number!r} is not a number to dial: at most {MAX_NUMBER} printable characters")
    return number

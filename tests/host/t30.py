"""What sender and receiver share of T.30: facsimile control fields, DIS/DCS bits, identifications.

Octets stand as in a T.31 byte stream: the bit sent first is the least significant (T.30 §5.3.6).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

ADDRESS, CONTROL, CONTROL_FINAL = 0xFF, 0x03, 0x13

DIS, CSI, NSF = 0x80, 0x40, 0x20
DCS, TSI = 0x82, 0x42
CFR, FTT, MCF, RTP, RTN, CRP = 0x84, 0x44, 0x8C, 0xCC, 0x4C, 0x1A
EOM, MPS, EOP, DCN = 0x8E, 0x4E, 0x2E, 0xFA
NAMES = {
    DIS: "DIS", CSI: "CSI", NSF: "NSF", DCS: "DCS", TSI: "TSI", CFR: "CFR", FTT: "FTT", MCF: "MCF",
    RTP: "RTP", RTN: "RTN", CRP: "CRP", EOM: "EOM", MPS: "MPS", EOP: "EOP", DCN: "DCN",
}  # fmt: skip
FROM_DIS_RECEIVER = 0x01
"the X bit: set by the station that has received a valid DIS (T.30 §5.3.6.1)"

T1_S, T2_S, T4_S = 35.0, 7.0, 3.1  # as HylaFAX sets them (T.30 §5.2)
TCF_S = 1.5


@dataclass(frozen=True)
class Modulation:
    """One rate of the high-speed modem and how the frames name it (T.30 table 2, bits 11–14)."""

    code: int
    "for +FTM/+FRM with long training"
    page_code: int
    "for +FTM/+FRM with short training"
    name: str
    bits_per_s: int
    dcs: int
    "octet 2 of the DCS, mask 0x3C"
    dis: int
    "the DIS bits that say a receiver can do it"


MODULATIONS = {
    m.code: m
    for m in (
        Modulation(145, 146, "V.17 14400", 14400, 0x20, 0x20),
        Modulation(121, 122, "V.17 12000", 12000, 0x28, 0x20),
        Modulation(97, 98, "V.17 9600", 9600, 0x24, 0x20),
        Modulation(73, 74, "V.17 7200", 7200, 0x2C, 0x20),
        Modulation(96, 96, "V.29 9600", 9600, 0x04, 0x04),
        Modulation(72, 72, "V.29 7200", 7200, 0x0C, 0x04),
        Modulation(48, 48, "V.27ter 4800", 4800, 0x08, 0x08),
        Modulation(24, 24, "V.27ter 2400", 2400, 0x00, 0x00),
    )
}
CODES = (145, 121, 97, 73, 96, 72, 48, 24)
"all of them, as a sender falls back"
BY_DCS = {m.dcs: m for m in MODULATIONS.values()}
RATE_MASK = 0x3C
RECEIVER, FINE = 0x02, 0x40  # octet 2: bits 10 and 15
UNLIMITED_LENGTH = 0x04  # octet 3: bit 19

SCAN_LINE_S = {0x00: 0.020, 0x40: 0.040, 0x20: 0.010, 0x10: 0.005, 0x70: 0.0}  # octet 3, bits 21–23
SCAN_LINE_MASK = 0x70


def frame(fcf: int, fif: bytes = b"", *, final: bool = True) -> bytes:
    """Address, control, facsimile control field, information field."""
    return bytes((ADDRESS, CONTROL_FINAL if final else CONTROL, fcf)) + fif


def identification(number: str) -> bytes:
    """FIF of TSI/CSI: 20 characters, the last one first (T.30 §5.3.6.2.4)."""
    return number[:20].ljust(20).encode("ascii", "replace")[::-1]


def read_identification(fif: bytes) -> str:
    """The number in a TSI/CSI."""
    return fif[::-1].decode("ascii", "replace").strip()


def dis_rate_bits(codes: Collection[int]) -> int:
    """Octet 2, bits 11–14, of a DIS that offers the modulations `codes`."""
    bits = 0
    for code in codes:
        bits |= MODULATIONS[code].dis
    # V.17 stands for all three families (1101); V.27ter's fall-back rate alone is 0000.
    return 0x2C if bits & 0x20 else bits


def codes_of_dis(octet2: int) -> set[int]:
    """The modulations a DIS offers."""
    bits = octet2 & RATE_MASK
    return {m.code for m in MODULATIONS.values() if m.dis & bits == m.dis}

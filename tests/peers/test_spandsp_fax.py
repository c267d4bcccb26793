"""A page between dsp, led by a few lines of T.30, and a complete fax terminal of libspandsp."""

import re
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from dsp import (
    BLOCK,
    Bank,
    CarrierLost,
    DataReceived,
    Event,
    FrameReceived,
    ToneDetected,
    Trained,
    TransmitDone,
)
from tests.host.pages import text_page
from tests.host.t4 import decode_page, encode_page
from tests.peers import spandsp_peer as spandsp

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not spandsp.available(), reason="libspandsp2 is not installed"),
]

E = TypeVar("E", bound=Event)

# Facsimile control fields; the last bit says that the sender has had a DIS (T.30 §5.3.6.1).
DIS, DCS, CFR, FTT, MCF, EOP, DCN = 0x80, 0x83, 0x84, 0x44, 0x8C, 0x2F, 0xFB
CODE_OF_DCS = {0x04: 96, 0x0C: 72, 0x08: 48, 0x00: 24, 0x20: 145, 0x28: 121, 0x24: 97, 0x2C: 73}
DCS_OF_CODE = {code: bits for bits, code in CODE_OF_DCS.items()}
MODEM = {24: "v27ter", 48: "v27ter", 72: "v29", 96: "v29", 73: "v17", 97: "v17", 121: "v17", 145: "v17"}
RATE = {24: 2400, 48: 4800, 72: 7200, 96: 9600, 73: 7200, 97: 9600, 121: 12000, 145: 14400}
CODES = pytest.mark.parametrize("code", [145, 121, 97, 73, 96, 72, 48, 24])


def page_code(code: int) -> int:
    """V.17 has a short training, for the pages after one that was confirmed."""
    return code + 1 if MODEM[code] == "v17" else code


class Call:
    """Our channel and the terminal on one line, 20 ms at a time."""

    def __init__(self, terminal: spandsp.FaxTerminal) -> None:
        self.terminal = terminal
        self.bank = Bank(1)
        self.channel = self.bank.channels[0]
        self.events: list[Event] = []

    def tick(self) -> None:
        heard = np.zeros((1, BLOCK), np.int16)
        sent = self.terminal.tx(BLOCK)
        heard[0, : len(sent)] = sent
        self.terminal.rx(self.bank.process(heard, np.zeros(1, np.bool_))[0])
        self.events += [event for _, event in self.bank.events()]

    def pause(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.tick()

    def until(self, kind: type[E], timeout_s: float = 10.0) -> tuple[E, list[Event]]:
        """Wait for an event of ``kind``: it, and what came before it."""
        for _ in range(round(timeout_s * 50)):
            for k, event in enumerate(self.events):
                if isinstance(event, kind):
                    before, self.events = self.events[:k], self.events[k + 1 :]
                    return event, before
            self.tick()
        pytest.fail(f"no {kind.__name__} within {timeout_s} s; instead: {self.events}")

    def command(self, *frames: bytes) -> None:
        self.channel.send_flags()
        for frame in frames:
            self.channel.send_frame(frame)
        self.channel.end()
        self.until(TransmitDone)

    def answer(self) -> list[bytes]:
        """The frames of the terminal's next command or response, without FCS."""
        self.channel.receive_v21()
        lost, before = self.until(CarrierLost)
        assert lost.v21
        frames = [event for event in before if isinstance(event, FrameReceived)]
        assert all(frame.fcs_ok for frame in frames)
        return [frame.data[:-2] for frame in frames]

    def data(self, code: int) -> bytes:
        """What the terminal sends by modulation ``code``."""
        self.channel.receive_fast(code)
        self.until(Trained, timeout_s=5)
        lost, before = self.until(CarrierLost, timeout_s=60)
        assert not lost.v21
        return b"".join(event.data for event in before if isinstance(event, DataReceived))

    def send(self, code: int, data: bytes) -> None:
        self.channel.send_fast(code)
        while data:
            data = data[self.channel.write(data) :]
            self.tick()
        self.channel.end()
        self.until(TransmitDone, timeout_s=60)


@CODES
def test_a_page_from_spandsp(code: int, tmp_path: Path) -> None:
    page = text_page("to us", 300)
    spandsp.write_tiff(tmp_path / "page.tif", [page], yres=98.0)
    terminal = spandsp.FaxTerminal(
        True,
        send=tmp_path / "page.tif",
        ecm=False,
        modems=tuple({MODEM[code], "v27ter"}),
        compressions=("mh",),
    )
    call = Call(terminal)
    call.until(ToneDetected, timeout_s=5)  # its CNG
    call.channel.send_ced()
    call.until(TransmitDone)
    call.command(bytes([0xFF, 0x13, DIS, 0x00, 0x02 | (0x2C if MODEM[code] == "v17" else 0x0C), 0x70]))
    while True:
        dcs = call.answer()[-1]
        assert dcs[2] == DCS
        offered = CODE_OF_DCS[dcs[4] & 0x3C]
        tcf = call.data(offered)
        call.pause(0.08)
        if offered == code:
            break
        call.command(bytes([0xFF, 0x13, FTT]))
    assert max(map(len, re.findall(rb"\0+", tcf))) >= 0.98 * 1.5 * RATE[code] / 8
    call.command(bytes([0xFF, 0x13, CFR]))
    image = call.data(page_code(code))
    assert call.answer() == [bytes([0xFF, 0x13, EOP])]
    call.pause(0.08)
    call.command(bytes([0xFF, 0x13, MCF]))
    assert call.answer() == [bytes([0xFF, 0x13, DCN])]
    call.pause(1.0)
    assert terminal.done
    assert terminal.result_text == "OK"
    assert np.array_equal(decode_page(image).page[: len(page)], page)


@CODES
def test_a_page_to_spandsp(code: int, tmp_path: Path) -> None:
    page = text_page("from us", 300)
    terminal = spandsp.FaxTerminal(False, receive=tmp_path / "page.tif", ecm=False)
    call = Call(terminal)
    call.channel.send_cng()
    call.channel.receive_v21()
    frames = call.answer()
    assert frames[-1][2] == DIS
    call.channel.send_silence()
    call.pause(0.08)
    call.command(bytes([0xFF, 0x13, DCS, 0x00, 0x02 | DCS_OF_CODE[code], 0x70]))
    call.pause(0.08)
    call.send(code, bytes(round(1.5 * RATE[code] / 8)))
    assert call.answer() == [bytes([0xFF, 0x13, CFR])]
    call.pause(0.08)
    call.send(page_code(code), encode_page(page))
    call.pause(0.08)
    call.command(bytes([0xFF, 0x13, EOP]))
    assert call.answer() == [bytes([0xFF, 0x13, MCF])]
    call.pause(0.08)
    call.command(bytes([0xFF, 0x13, DCN]))
    call.pause(1.0)
    assert terminal.result_text == "OK"
    received, _ = spandsp.read_tiff(tmp_path / "page.tif")[0]
    assert np.array_equal(received[: len(page)], page)

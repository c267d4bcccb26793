"""What efax 0.9a says and must hear, in class 1: a page sent, and a page received."""

from __future__ import annotations

from cusemodem.at import actions as a
from cusemodem.at import events as e
from tests.at.fake_line import FakeLine

OK = b"\r\nOK\r\n"
CONNECT = b"\r\nCONNECT\r\n"
NO_CARRIER = b"\r\nNO CARRIER\r\n"
END = b"\x10\x03"
FCS = b"\xaa\xbb"

CSI = b"\xff\x03\x40" + b"0123" * 5
DIS = b"\xff\x13\x80\x00\xce\xf8\x00"
TSI = b"\xff\x03\x43" + b"9876" * 5
DCS = b"\xff\x13\x83\x00\x46\xf8\x00"
CFR = b"\xff\x13\x84"
EOP = b"\xff\x13\x2f"
MCF = b"\xff\x13\x8c"
DCN = b"\xff\x13\xfb"


def initialised() -> FakeLine:
    """efax's init strings, as its script and source send them, each waiting for OK."""
    line = FakeLine()
    assert line.host(b"ATQ0V1\r") == b"ATQ0V1\r" + OK
    assert line.host(b"ATZ\r").endswith(OK)
    assert line.host(b"AT&FE0&D2S7=120\r").endswith(OK)
    assert line.host(b"AT&C0\r") == OK
    assert line.host(b"ATM1L0\r") == OK
    assert line.host(b"ATE0\r") == OK
    assert line.host(b"ATI3\r") == b"\r\ncusemodem\r\n" + OK
    assert line.host(b"AT+FCLASS=?\r") == b"\r\n0,1,1.0\r\n" + OK
    assert line.host(b"AT+FCLASS=1\r") == OK
    assert line.host(b"AT+FTM=?\r") == b"\r\n24,48,72,73,74,96,97,98,121,122,145,146\r\n" + OK
    assert line.host(b"AT+FRM=?\r") == b"\r\n24,48,72,73,74,96,97,98,121,122,145,146\r\n" + OK
    line.take_log()
    return line


def deliver(line: FakeLine, frame: bytes) -> None:
    """A frame of the far end, read by the host with +FRH=3, flags first."""
    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    final = bool(frame[1] & 0x10)
    said = line.far(e.FrameReceived(frame + FCS, True))
    assert said == frame + FCS + END + (b"" if final else OK)
    if final:
        assert line.far(e.CarrierLost(True)) == OK


def send(line: FakeLine, *frames: bytes) -> None:
    """Frames of the host, with +FTH=3 before them."""
    assert line.host(b"AT+FTH=3\r") == CONNECT
    for frame in frames:
        assert line.host(frame + END) == b""
        line.until(OK if frame[1] & 0x10 else CONNECT, within_s=4)


def test_sending_a_page() -> None:
    line = initialised()
    assert line.host(b"ATDT5550100\r") == b""
    dial = next(action for action in line.take_log() if isinstance(action, a.Dial))
    assert dial.number == "5550100"
    assert dial.timeout_s == 120.0
    assert line.run(8) == b""

    # the call is answered: calling tone and V.21; the first frames need no +FRH (T.31: implicit)
    assert line.far(e.CallAnswered()) == b""
    assert line.take_log() == [a.SendCng(), a.ReceiveV21()]
    assert line.run(4) == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.take_log() == [a.SendSilence()]
    assert line.engine.dcd
    assert line.far(e.FrameReceived(CSI + FCS, True)) == CSI + FCS + END + OK
    # DIS comes before efax asks for it: queued, and handed over at once; OK waits for the carrier's end
    assert line.far(e.FrameReceived(DIS + FCS, True)) == b""
    assert line.host(b"AT+FRH=3\r") == CONNECT + DIS + FCS + END
    assert line.run(0.2) == b""
    assert line.far(e.CarrierLost(True)) == OK
    assert line.take_log() == []

    # phase B: TSI, DCS, training check
    send(line, TSI, DCS)
    assert line.frames == [TSI, DCS]
    assert line.take_log() == [
        a.ReceiveOff(),
        a.SendFlags(),
        a.SendFrame(TSI),
        a.SendFrame(DCS),
        a.EndTransmission(),
    ]
    assert line.host(b"AT+FTS=8\r") == b""
    assert line.until(OK, within_s=1) == 0.08
    assert line.take_log() == [a.SendSilence()]
    assert line.host(b"AT+FTM=96\r") == CONNECT
    assert line.take_log() == [a.SendFast(96)]
    tcf = bytes(1800)
    assert line.host(tcf + END) == b""
    assert 1.5 <= line.until(OK, within_s=3) <= 1.7
    assert bytes(line.sent) == tcf
    deliver(line, CFR)

    # phase C: a page with DLE in it, written in pieces, DLE ETX and nothing after
    line.sent.clear()
    assert line.host(b"AT+FTM=96\r") == CONNECT
    line.run(1)  # efax sleeps a second here
    page = bytes(i * 7 & 0xFF for i in range(5000)) + b"\x10\x10\x03\x10"
    stuffed = page.replace(b"\x10", b"\x10\x10") + END
    while stuffed:
        room = line.engine.room
        piece, stuffed = stuffed[: min(room, 700)], stuffed[min(room, 700) :]
        assert line.host(piece) == b""
        line.block()
    line.until(OK, within_s=8)
    assert bytes(line.sent) == page

    # phase D and E
    send(line, EOP)
    deliver(line, MCF)
    send(line, DCN)
    line.take_log()
    assert line.host(b"ATH0\r") == OK
    assert a.HangUp() in line.take_log()
    assert not line.engine.off_hook


def test_receiving_a_page() -> None:
    line = initialised()
    assert line.far(e.IncomingCall()) == b"\r\nRING\r\n"
    assert line.engine.ring_indicator
    assert line.run(5) == b"\r\nRING\r\n"
    assert line.host(b"ATA\r") == b""
    assert line.take_log()[-1] == a.Answer()
    assert not line.engine.ring_indicator
    # answer tone, then flags, CONNECT: the first frame needs no +FTH (T.31: implicit)
    assert 3.2 <= line.until(CONNECT, within_s=5) <= 3.5
    assert line.take_log() == [a.SendCed(), a.SendFlags()]
    assert line.host(CSI + END) == b""
    line.until(CONNECT, within_s=4)
    assert line.host(DIS + END) == b""
    line.until(OK, within_s=2)
    assert line.frames == [CSI, DIS]

    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.far(e.FrameReceived(TSI + FCS, True)) == TSI + FCS + END + OK
    assert line.host(b"AT+FRH=3\r") == CONNECT
    assert line.far(e.FrameReceived(DCS + FCS, True)) == DCS + FCS + END
    assert line.far(e.CarrierLost(True)) == OK

    # the training check, the silence after it, confirmation
    line.take_log()
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.take_log()[-1] == a.ReceiveFast(96)
    assert line.far(e.Trained()) == CONNECT
    assert line.far(e.DataReceived(bytes(900)), e.DataReceived(bytes(900))) == bytes(1800)
    assert line.far(e.CarrierLost(False)) == END + NO_CARRIER
    line.silence_samples = 0
    line.block()
    assert line.host(b"AT+FRS=1\r") == b""
    line.silence_samples = 160
    assert line.until(OK, within_s=0.1) == 0.02
    send(line, CFR)

    # the page: data bytes with DLE come doubled
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.far(e.Trained()) == CONNECT
    assert line.far(e.DataReceived(b"page\x10with\x10\x10dle")) == b"page\x10\x10with\x10\x10\x10\x10dle"
    assert line.far(e.CarrierLost(False)) == END + NO_CARRIER
    line.silence_samples = 0
    line.block()
    assert line.host(b"AT+FRS=20\r") == b""
    for elapsed in range(160, 1600, 160):
        line.silence_samples = elapsed
        assert line.run(0.02) == b""
    line.silence_samples = 1600
    assert line.run(0.02) == OK

    deliver(line, EOP)
    send(line, MCF)
    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.far(e.FrameReceived(DCN + FCS, True)) == DCN + FCS + END
    # the far end hangs up with its last frame: the OK that was pending is said
    assert line.far(e.CallEnded()) == OK
    assert not line.engine.off_hook
    assert line.host(b"AT+FRH=3\r") == b"\r\nERROR\r\n"
    assert line.host(b"ATH\r") == OK

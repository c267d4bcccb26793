"""What HylaFAX 6.0 says and must hear in class 1: set-up, pages sent and received, and what goes wrong."""

from __future__ import annotations

from cusemodem.at import actions as a
from cusemodem.at import events as e
from tests.at.fake_line import FakeLine
from tests.at.test_efax_dialogue import (
    CFR,
    CONNECT,
    CSI,
    DCN,
    DCS,
    DIS,
    END,
    EOP,
    FCS,
    MCF,
    NO_CARRIER,
    OK,
    TSI,
    deliver,
    send,
)

RING = b"\r\nRING\r\n"
MPS = b"\xff\x13\x4f"
NSF = b"\xff\x03\x20\x00\x10\x03"


def initialised(*, adaptive: bool = False) -> FakeLine:
    """HylaFAX's reset: DTR, ATZ, its own command for each setting, questions, class, caller ID."""
    line = FakeLine()
    line.engine.dtr_dropped()
    line.run(0.08)
    line.engine.dtr_raised()
    line.run(2.6)
    assert line.host(b"ATZ\r") == b"ATZ\r" + OK
    line.run(3)
    for command in (b"ATS0=0", b"ATE0", b"ATV1", b"ATQ0", b"ATS8=2", b"ATS7=60"):
        assert line.host(command + b"\r").endswith(OK)
    assert line.host(b"AT+FCLASS=?\r") == b"\r\n0,1,1.0\r\n" + OK
    assert line.host(b"ATI3\r") == b"\r\ncusemodem\r\n" + OK
    assert line.host(b"ATI0\r") == b"\r\ncusemodem fax modem\r\n" + OK
    assert line.host(b"AT+FCLASS=1\r") == OK
    assert line.host(b"AT+FTM=?\r") == b"\r\n24,48,72,73,74,96,97,98,121,122,145,146\r\n" + OK
    assert line.host(b"AT+FRM=?\r") == b"\r\n24,48,72,73,74,96,97,98,121,122,145,146\r\n" + OK
    if adaptive:
        assert line.host(b"AT+FAR=1\r") == OK
    assert line.host(b"AT+VCID=1\r") == OK
    line.take_log()
    return line


def silent_for(line: FakeLine, seconds: float) -> None:
    """The far end has just fallen silent; time passes."""
    line.silence_samples = 0
    for _ in range(round(seconds * 50)):
        line.silence_samples += 160
        line.block()


def test_ring_instead_of_an_answer_is_a_line_of_its_own() -> None:
    """HylaFAX repeats the command it had sent when RING comes instead of the answer (glare)."""
    line = initialised()
    line.host(b"AT+VCID=0\r")
    assert line.far(e.IncomingCall()) == RING
    assert line.host(b"ATZ\r") == OK  # the profile's echo is back on
    assert line.engine.ring_indicator  # faxgetty, which begins so too, answers the next RING


def test_sending() -> None:
    line = initialised()
    line.host(b"ATDT5550100\r")
    assert line.run(20) == b""
    line.far(e.CallAnswered())
    assert line.run(5) == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.far(e.FrameReceived(NSF + FCS, True)) == (
        NSF.replace(b"\x10", b"\x10\x10") + FCS + END + OK
    )  # DLE in a frame is doubled
    assert line.host(b"AT+FRH=3\r") == CONNECT
    assert line.far(e.FrameReceived(CSI + FCS, True)) == CSI + FCS + END + OK
    assert line.host(b"AT+FRH=3\r") == CONNECT
    assert line.far(e.FrameReceived(DIS + FCS, True)) == DIS + FCS + END
    assert line.far(e.CarrierLost(True)) == OK

    # AT+FRS=7 has begun to count before it was sent
    silent_for(line, 0.04)
    assert line.host(b"AT+FRS=7\r") == b""
    line.silence_samples = 479
    assert line.run(0.02) == b""
    line.silence_samples = 480
    assert line.run(0.02) == OK
    send(line, TSI, DCS)
    assert line.host(b"AT+FTS=7\r") == b""
    assert line.until(OK, within_s=1) == 0.08

    # CONNECT at once; HylaFAX waits 400 ms, sends 1.5 s of zeros, then DLE ETX
    assert line.host(b"AT+FTM=96\r") == CONNECT
    line.run(0.4)
    line.host(bytes(1800) + END)
    line.until(OK, within_s=60)
    assert line.host(b"AT+FRH=3\r") == b""
    line.run(1)
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.far(e.FrameReceived(CFR + FCS, True)) == CFR + FCS + END
    assert line.far(e.CarrierLost(True)) == OK

    for post_message in (MPS, EOP):
        silent_for(line, 0.1)
        assert line.host(b"AT+FRS=7\r") == OK
        assert line.host(b"AT+FTM=96\r") == CONNECT
        line.host(bytes(range(32, 128)) * 20 + END)
        line.until(OK, within_s=60)
        assert line.host(b"AT+FTS=9\r") == b""
        assert line.until(OK, within_s=1) == 0.1
        send(line, post_message)
        deliver(line, MCF)
    silent_for(line, 0.1)
    assert line.host(b"AT+FRS=7\r") == OK
    send(line, DCN)
    assert line.host(b"ATH0\r") == OK
    assert line.engine.statistics().errors == 0


def test_no_answer_to_a_frame_is_aborted_and_repeated() -> None:
    """T4 passes without flags: CAN, OK within 200 ms; then the frame once more."""
    line = initialised()
    line.host(b"ATDT1\r")
    line.far(e.CallAnswered(), e.FlagsDetected())
    line.far(e.FrameReceived(DIS + FCS, True), e.CarrierLost(True))
    send(line, DCS)
    assert line.host(b"AT+FRH=3\r") == b""
    assert line.run(3.1) == b""
    assert line.host(b"\x18") == OK
    send(line, DCS)
    deliver(line, CFR)


def test_receiving() -> None:
    line = initialised()
    caller = e.CallerId(name="Joe", number="555", called_number="100")
    said = line.far(e.IncomingCall(caller))
    assert b"\r\nNAME=Joe\r\n\r\nNMBR=555\r\n" in said
    assert said.endswith(b"\r\nNDID=100\r\n" + RING)
    assert line.host(b"ATA\r") == b""
    line.until(CONNECT, within_s=5)
    for frame in (NSF, CSI):
        line.host(frame.replace(b"\x10", b"\x10\x10") + END)
        line.until(CONNECT, within_s=5)
    line.host(DIS + END)
    line.until(OK, within_s=5)
    assert line.frames == [NSF, CSI, DIS]

    assert line.host(b"AT+FRH=3\r") == b""
    assert line.far(e.FlagsDetected()) == CONNECT
    assert line.far(e.FrameReceived(TSI + FCS, True)) == TSI + FCS + END + OK
    # a frame spoilt on the line: ERROR, and the sender repeats
    assert line.host(b"AT+FRH=3\r") == CONNECT
    assert line.far(e.FrameReceived(DCS + FCS, False)) == DCS + FCS + END + b"\r\nERROR\r\n"
    line.far(e.CarrierLost(True))
    deliver(line, DCS)

    # the sender repeats DCS instead of training: +FCERROR, HylaFAX tries +FRM again, then +FRH
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.far(e.FlagsDetected()) == b"\r\n+FCERROR\r\n"
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.far(e.FlagsDetected()) == b"\r\n+FCERROR\r\n"
    assert line.host(b"AT+FRH=3\r") == CONNECT
    assert line.far(e.FrameReceived(DCS + FCS, True)) == DCS + FCS + END
    assert line.far(e.CarrierLost(True)) == OK

    assert line.host(b"AT+FRM=96\r") == b""
    assert line.far(e.TrainingFailed()) == b""
    assert line.far(e.Trained()) == CONNECT
    line.far(e.DataReceived(bytes(1800)))
    assert line.far(e.CarrierLost(False)) == END + NO_CARRIER
    silent_for(line, 0.1)
    assert line.host(b"AT+FRS=7\r") == OK
    send(line, CFR)

    for post_message, delay_s in ((MPS, 3.0), (EOP, 0.0)):
        assert line.host(b"AT+FRM=96\r") == b""
        assert line.far(e.Trained()) == CONNECT
        assert line.far(e.DataReceived(b"\x13\x11page")) == b"\x13\x11page"
        assert line.far(e.CarrierLost(False)) == END + NO_CARRIER
        deliver(line, post_message)
        silent_for(line, 0.1)
        assert line.host(b"AT+FRS=7\r") == OK
        # flags run while HylaFAX stores the page; the frame comes up to 3 s later
        assert line.host(b"AT+FTH=3\r") == CONNECT
        assert line.run(delay_s) == b""
        line.host(MCF + END)
        line.until(OK, within_s=4)
    assert line.host(b"AT+FRH=3\r") == b""
    line.far(e.FlagsDetected())
    assert line.far(e.FrameReceived(DCN + FCS, True), e.CallEnded()) == DCN + FCS + END + OK
    assert line.host(b"ATH0\r") == OK
    assert line.engine.statistics().class1.frames_bad == 1


def test_adaptive_reception() -> None:
    """AT+FAR=1, as IAXmodem's configuration has it: the frame comes without another command."""
    line = initialised(adaptive=True)
    line.far(e.IncomingCall())
    line.host(b"ATA\r")
    line.until(CONNECT, within_s=5)
    line.host(DIS + END)
    line.until(OK, within_s=5)
    assert line.host(b"AT+FRM=96\r") == b""
    assert line.far(e.FlagsDetected()) == b"\r\n+FRH:3\r\n" + CONNECT
    assert line.far(e.FrameReceived(DCS + FCS, True)) == DCS + FCS + END
    assert line.far(e.CarrierLost(True)) == OK


def test_sender_hangs_up_in_mid_page() -> None:
    line = initialised()
    line.far(e.IncomingCall())
    line.host(b"ATA\r")
    line.until(CONNECT, within_s=5)
    line.host(DIS + END)
    line.until(OK, within_s=5)
    line.host(b"AT+FRM=96\r")
    line.far(e.Trained(), e.DataReceived(b"page"))
    line.take_log()
    assert line.far(e.CallEnded()) == END + NO_CARRIER
    assert not line.engine.dcd
    # HylaFAX goes on until ERROR tells it that the call is gone, then hangs up
    assert line.host(b"AT+FRH=3\r") == b"\r\nERROR\r\n"
    assert line.host(b"ATH0\r") == OK
    assert a.HangUp() not in line.take_log()

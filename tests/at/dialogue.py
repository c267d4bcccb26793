"""Plays a transcript: what a fax program says and must hear, and what the far end does, in virtual time.

A transcript is a text of one step a line (`transcripts/*.txt`); `#` begins a remark:

    > AT+FRS=7          the host writes a line (CR is added)
    >> DCS              the host writes a frame, stuffed, with DLE ETX
    >data 1800 00       the host writes so many bytes as the modem takes them, then DLE ETX
    >ecm 0-15           the host writes these frames of error correction mode as HDLC of its own, DLE ETX;
                        with the next result the line must have sent just these bits
    >raw 18             the host writes these bytes
    < OK                the modem says this at once, and nothing else
    < OK in 0.08        … after this time, ±10 ms
    < OK within 4       … after at most this time
    << DIS              the modem hands over this frame with its check sequence and DLE ETX, at once
    <data 900           … so many bytes of data, unstuffed
    <ecm 0-15           … the bits of these frames
    <end NO CARRIER     … DLE ETX and this
    ! flags             the far end, in one block: flags, frame X, bad frame X, carrier lost, trained, data N,
                        ecm 0-15, training failed, burst ends, answers, busy, no answer, no dialtone,
                        hangs up, calls, gives up, silence S (so many seconds)
    . 3                 time passes and nothing is said
    = off-hook          the modem's hook, `errors N` its count of ERRORs since the set-up
    use hylafax-set-up  another transcript stands here; `use receive DIS` one with words for %1, %2
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from cusemodem.at import events
from tests.at.fake_line import FakeLine
from tests.host import ecm
from tests.host.class1 import fcs, stuff

DIRECTORY = Path(__file__).parent / "transcripts"
END = b"\x10\x03"
UNIT_S = 0.01
ECM_PIECE = 36
"""Bytes of one block at 14400 bit/s."""

FRAMES = {
    "NSF": b"\xff\x03\x20\x00\x10\x03",
    "CSI": b"\xff\x03\x40" + b"0123" * 5,
    "DIS": b"\xff\x13\x80\x00\xce\xf8\x00",
    "TSI": b"\xff\x03\x43" + b"9876" * 5,
    "DCS": b"\xff\x13\x83\x00\x46\xf8\x00",
    "CIG": b"\xff\x03\x41" + b"9876" * 5,
    "DTC": b"\xff\x13\x81\x00\xce\xf8\x00",
    "CFR": b"\xff\x13\x84",
    "FTT": b"\xff\x13\x44",
    "EOP": b"\xff\x13\x2f",
    "MPS": b"\xff\x13\x4f",
    "EOM": b"\xff\x13\x8f",
    "MCF": b"\xff\x13\x8c",
    "RTN": b"\xff\x13\x4c",
    "RTP": b"\xff\x13\xcc",
    "PIN": b"\xff\x13\x2c",
    "CRP": b"\xff\x13\x1a",
    "DCN": b"\xff\x13\xfb",
    "PPS-NULL": b"\xff\x13\xbf\x00\x00\x00\xff",
    "PPS-MPS": b"\xff\x13\xbf\x4f\x00\x00\x0f",
    "PPS-EOP": b"\xff\x13\xbf\x2f\x00\x00\x0f",
    "PPR": b"\xff\x13\xbc" + ecm.missing_map((3, 4, 9)),
    "CTC": b"\xff\x13\x13\x00\x56",
    "CTR": b"\xff\x13\xc4",
    "EOR-MPS": b"\xff\x13\xcf\x4f",
    "ERR": b"\xff\x13\x1c",
    "RR": b"\xff\x13\x6f",
    "RNR": b"\xff\x13\xec",
}
"""Bits as on the line, first bit in the least significant place; the first octet is the address."""

HAPPENINGS: dict[str, tuple[events.Event, ...]] = {
    "flags": (events.FlagsDetected(),),
    "carrier lost": (events.CarrierLost(True),),
    "trained": (events.Trained(),),
    "training failed": (events.TrainingFailed(),),
    "burst ends": (events.CarrierLost(False),),
    "answers": (events.CallAnswered(),),
    "busy": (events.CallFailed("BUSY"),),
    "no answer": (events.CallFailed("NO ANSWER"),),
    "no dialtone": (events.CallFailed("NO DIALTONE"),),
    "hangs up": (events.CallEnded(),),
    "calls": (events.IncomingCall(events.CallerId(name="Joe", number="555", called_number="100")),),
    "gives up": (events.CallerGone(),),
}


def ecm_block(frames: str) -> bytes:
    """The data of a burst with frames `a-b` of error correction mode, each with all 256 octets in it."""
    first, last = (int(number) for number in frames.split("-"))
    octets = bytes(range(256))
    return ecm.encode({n: octets[n:] + octets[:n] for n in range(first, last + 1)}, 14400)


def steps(name: str, words: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(where, step) of a transcript and of those it uses."""
    for n, line in enumerate((DIRECTORY / f"{name}.txt").read_text().splitlines(), 1):
        step = line.partition("#")[0].strip()
        for i, word in enumerate(words, 1):
            step = step.replace(f"%{i}", word)
        if not step:
            continue
        kind, _, rest = step.partition(" ")
        if kind == "use":
            other, *given = rest.split()
            for where, inner in steps(other, tuple(given)):
                yield f"{name}:{n} > {where}", inner
        else:
            yield f"{name}:{n}", step


class Dialogue:
    """One modem, played to by a transcript."""

    def __init__(self, line: FakeLine | None = None) -> None:
        self.line = line or FakeLine()
        self.n_steps = 0
        self._owed = b""
        "what the line must have sent by the next result"
        self._heard = 0
        "how much of `line.seen` the transcript has accounted for"

    def play(self, name: str, *, fax_class: str = "1") -> None:
        """Play a transcript to its end, in class 1 or 1.0; nothing may have been said beyond it."""
        for where, step in steps(name):
            try:
                self._step(step.replace("+FCLASS=1", f"+FCLASS={fax_class}"))
            except AssertionError as error:
                raise AssertionError(f"{where}: {step}\n{error}") from None
            self.n_steps += 1
        assert self._unheard() == b"", f"{name}: said beyond the end"

    def _unheard(self) -> bytes:
        return bytes(self.line.seen[self._heard :])

    def _step(self, step: str) -> None:
        kind, _, rest = step.partition(" ")
        actions = {
            ">": self._host_line,
            ">>": self._host_frame,
            ">data": self._host_data,
            ">ecm": self._host_ecm,
            ">raw": lambda text: self._write(bytes.fromhex(text)),
            "<": self._modem_result,
            "<<": self._modem_frame,
            "<data": self._modem_data,
            "<ecm": lambda text: self._expect(stuff(ecm_block(text))[: -len(END)]),
            "<end": lambda text: self._expect(END + framed(text)),
            "!": self._far_end,
            ".": self._time,
            "=": self._state,
        }
        actions[kind](rest)

    # --- the host ----------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        assert self._unheard() == b"", f"the modem had said {self._unheard()!r}"
        self.line.host(data)

    def _host_line(self, text: str) -> None:
        echo = self.line.engine.settings.echo
        self._write(text.encode() + b"\r")
        if echo:
            self._expect(text.encode() + b"\r")

    def _host_frame(self, name: str) -> None:
        self._write(stuff(FRAMES[name]))

    def _host_data(self, text: str) -> None:
        n_bytes, value = text.split()
        self._write_as_taken(stuff(bytes.fromhex(value) * int(n_bytes)))

    def _host_ecm(self, text: str) -> None:
        self._owed = ecm_block(text)
        self._write_as_taken(stuff(self._owed))

    def _write_as_taken(self, data: bytes) -> None:
        while data:
            room = self.line.engine.room
            piece, data = data[:room], data[room:]
            self._write(piece)
            if data:
                self.line.block()

    # --- the modem ---------------------------------------------------------------------------------------

    def _expect(self, said: bytes) -> None:
        unheard = self._unheard()
        assert unheard[: len(said)] == said, f"said {unheard!r}, expected {said!r}"
        self._heard += len(said)

    def _modem_result(self, text: str) -> None:
        timed = re.fullmatch(r"(.*) (in|within) ([0-9.]+)", text)
        if timed is None:
            self._expect(framed(text))
        else:
            self._expect_timed(timed)
        owed, self._owed = self._owed, b""
        assert self.line.sent.endswith(owed), "the line did not send what the host wrote"

    def _expect_timed(self, timed: re.Match[str]) -> None:
        what, how, seconds = framed(timed[1]), timed[2], float(timed[3])
        waited = self._wait_for(len(what), seconds)
        self._expect(what)
        if how == "in":
            assert abs(waited - seconds) <= UNIT_S + 1e-9, f"came after {waited:.3f} s"

    def _wait_for(self, n_bytes: int, limit_s: float) -> float:
        start = self.line.n_blocks
        while len(self._unheard()) < n_bytes:
            waited = (self.line.n_blocks - start) / 50
            assert waited <= limit_s + UNIT_S, f"nothing but {self._unheard()!r} in {limit_s} s"
            self.line.block()
        return (self.line.n_blocks - start) / 50

    def _modem_frame(self, name: str) -> None:
        self._expect(stuff(FRAMES[name] + fcs(FRAMES[name])))

    def _modem_data(self, text: str) -> None:
        self._expect(bytes(int(text)))

    # --- the far end, time and state ---------------------------------------------------------------------

    def _far_end(self, text: str) -> None:
        assert self._unheard() == b"", f"the modem had said {self._unheard()!r}"
        if text in HAPPENINGS:
            self.line.block(*HAPPENINGS[text])
            return
        kind, _, rest = text.rpartition(" ")
        if kind in ("frame", "bad frame"):
            frame = FRAMES[rest] + fcs(FRAMES[rest])
            self.line.block(events.FrameReceived(frame, kind == "frame"))
        elif kind == "data":
            self.line.block(events.DataReceived(bytes(int(rest))))
        elif kind == "ecm":
            block = ecm_block(rest)
            for at in range(0, len(block), ECM_PIECE):
                self.line.block(events.DataReceived(block[at : at + ECM_PIECE]))
        elif kind == "silence":
            self.line.silence_samples = 0
            for _ in range(round(float(rest) * 50)):
                self.line.silence_samples += 160
                self.line.block()
        else:
            raise AssertionError(f"the far end cannot {text!r}")

    def _time(self, text: str) -> None:
        self.line.run(float(text))
        assert self._unheard() == b"", f"said {self._unheard()!r}"

    def _state(self, text: str) -> None:
        if text in ("on-hook", "off-hook"):
            assert self.line.engine.off_hook is (text == "off-hook")
        elif text == "ringing":
            assert self.line.engine.ring_indicator
        else:
            n_errors = int(text.removeprefix("errors "))
            assert self.line.engine.statistics().errors == n_errors


def framed(text: str) -> bytes:
    """Results and information as V1 shows them; ` + ` stands between several."""
    return b"".join(b"\r\n" + one.encode() + b"\r\n" for one in text.split(" + "))

"""The DTE's half of T.31 Class 1, as fax programs on real machines speak it, with no I/O.

A program is a script (a generator) that writes commands and waits for what the modem says; `receive` and
`tick` push it on. Time is whatever `now` says, so a call runs as fast as the modem under test can go.

What the well-known programs do differently (their pauses, the way they make silence, their set-up lines)
is data: `HYLAFAX`, `EFAX`, `MGETTY`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TypeVar

DLE, ETX, SUB, CAN = 0x10, 0x03, 0x1A, b"\x18"
FINAL_RESULTS = ("OK", "CONNECT", "NO CARRIER", "ERROR", "NO DIALTONE", "NO DIAL TONE", "BUSY", "NO ANSWER")
CLASS1_RESULTS = ("+FCERROR", "+F4", "+FRH:3")

T = TypeVar("T")
Script = Generator[None, None, T]


class HostTimeout(Exception):  # noqa: N818 - the field's word
    """The modem did not say in time what the program waits for."""


class CallFailed(Exception):  # noqa: N818 - the field's word
    """The call cannot go on; the text says why, for `failed`."""


@dataclass(frozen=True)
class Habits:
    """What one fax program does in its own way (at-command lines without `AT`)."""

    name: str
    setup: tuple[str, ...]
    before_command_s: float = 0.0
    "pause before each set-up command"
    turnaround: str = ""
    "after receiving, before the own carrier: a command, or a pause of `turnaround_s`"
    turnaround_s: float = 0.0
    before_tcf: str = ""
    before_post_message: str = ""
    before_eop: str = ""
    after_tcf_received: str = ""
    after_page_received: str = ""
    data_delay_s: float = 0.0
    "from CONNECT of +FTM to the first byte: the far end's +FRM must be there, ones fill the time"
    chained: bool = False
    "silence and carrier on one line (`AT+FTS=8;+FTH=3`), one result expected"
    confirm_delay_s: float = 0.0
    "from CONNECT of +FTH=3 to the MCF frame (HylaFAX stores the page while flags run)"
    adaptive_reception: bool = False
    "AT+FAR=1: a V.21 carrier under +FRM is told by +FRH:3 and CONNECT"
    quiet_errors: tuple[str, ...] = field(default=())
    "set-up commands that may fail"


HYLAFAX = Habits(
    name="hylafax",
    setup=("Z", "S0=0", "E0", "V1", "Q0", "S8=2", "S7=60", "+FCLASS=?", "I3", "I0", "+FCLASS=1"),
    turnaround="+FRS=7",
    before_tcf="+FTS=7",
    before_post_message="+FTS=7",
    before_eop="+FTS=9",
    after_tcf_received="+FRS=7",
    data_delay_s=0.4,
    confirm_delay_s=0.3,
    adaptive_reception=True,
)
EFAX = Habits(
    name="efax",
    setup=("Q0V1", "Z", "&FE0&D2S7=120", "&C0", "M1L0", "E0", "I3", "+FCLASS=?", "+FCLASS=1"),
    before_command_s=0.1,
    turnaround_s=0.055,
    before_tcf="+FTS=1",
    after_tcf_received="+FRS=1",
    after_page_received="+FRS=20",
    data_delay_s=1.0,
)
MGETTY = Habits(
    name="mgetty",
    setup=("S0=0Q0&D3&C1", "E0", "+FCLASS=1", "+FAE=0"),
    before_command_s=0.05,
    turnaround="+FTS=8",
    before_tcf="+FTS=8",
    before_post_message="+FTS=8",
    before_eop="+FTS=8",
    data_delay_s=0.0,
    chained=True,
    quiet_errors=("+FAE=0",),
)


def stuff(data: bytes) -> bytes:
    """`data` with each DLE doubled and DLE ETX at the end (T.31 §6.3)."""
    return data.replace(b"\x10", b"\x10\x10") + b"\x10\x03"


def fcs(frame: bytes) -> bytes:
    """The two check octets of an HDLC frame as T.31 delivers them (T.30 §5.3.7, x^16 + x^12 + x^5 + 1)."""
    crc = 0xFFFF
    for byte in frame:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8408 if crc & 1 else crc >> 1
    return (crc ^ 0xFFFF).to_bytes(2, "little")


class Class1Program:
    """Runs one script against one modem. Sub-classes give `script`."""

    def __init__(self, habits: Habits = HYLAFAX) -> None:
        self.habits = habits
        self.done = False
        self.failed = ""
        "why the call failed; empty: it did not"
        self.log: list[str] = []
        self.now = 0.0
        self.information: list[str] = []
        "lines that are no result code: identity, caller's number, ranges"
        self.n_rings = 0
        self._in = bytearray()
        self._out = bytearray()
        self._running: Script[None] | None = None

    # --- the outside -------------------------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> None:
        """Bytes from the modem, and on with the script."""
        self._in += data
        self.tick(now)

    def tick(self, now: float) -> None:
        """Time has come to `now` (seconds, any origin, never backwards)."""
        self.now = max(self.now, now)
        if self.done:
            return
        if self._running is None:
            self._running = self._whole_run()
        try:
            next(self._running)
        except StopIteration:
            self.done = True

    def take_output(self, max_bytes: int | None = None) -> bytes:
        """Bytes for the modem: all, or at most `max_bytes` (what the port takes now; the rest is kept)."""
        n = len(self._out) if max_bytes is None else max_bytes
        data = bytes(self._out[:n])
        del self._out[:n]
        return data

    def transcript(self) -> str:
        """The whole log as one text."""
        return "\n".join(self.log)

    # --- to be given -------------------------------------------------------------------------------------

    def script(self) -> Script[None]:
        """The call from set-up to hang-up; raises CallFailed with the reason."""
        raise NotImplementedError

    def _whole_run(self) -> Script[None]:
        try:
            yield from self.script()
        except CallFailed as failure:
            self._fail(str(failure))
        except HostTimeout as timeout:
            self._fail(f"no answer from the modem to {timeout}")
        yield from self._hang_up()

    def _fail(self, why: str) -> None:
        self.failed = why
        self.note("failed", why)

    def _hang_up(self) -> Script[None]:
        if self.failed:  # whatever the modem was at ends with this; its result is of no interest
            with contextlib.suppress(HostTimeout):
                yield from self.command("", 2.0)
        for text in ("H0", "H0"):
            try:
                result = yield from self.command(text, 5.0)
            except HostTimeout:
                continue
            if result == "OK":
                return
        if not self.failed:
            self._fail("the modem does not hang up")

    # --- steps of a script -------------------------------------------------------------------------------

    def note(self, mark: str, text: str) -> None:
        """One line of the transcript."""
        self.log.append(f"{self.now:9.3f} {mark:>6} {text}")

    def write(self, data: bytes) -> None:
        """Bytes to the modem, as they are."""
        self._out += data

    def sleep(self, seconds: float) -> Script[None]:
        """Let `seconds` pass."""
        until = self.now + seconds
        while self.now < until:
            yield

    def drained(self) -> Script[None]:
        """Wait until the port has taken all that was written (tcdrain); its own limit is 10 minutes."""
        until = self.now + 600.0
        while self._out:
            if self.now >= until:
                raise CallFailed("the modem takes no more data")
            yield

    def line(self, until: float) -> Script[str]:
        """The next line that is not empty, without CR, LF and NUL. HostTimeout at the time `until`."""
        while True:
            end = self._in.find(b"\n")
            if end >= 0:
                raw = bytes(self._in[:end])
                del self._in[: end + 1]
                text = raw.replace(b"\r", b"").replace(b"\0", b"").decode("latin-1")
                if text:
                    return text
                continue
            if self.now >= until:
                raise HostTimeout
            yield

    def result(self, what: str, timeout_s: float) -> Script[str]:
        """The next result code; all other lines go to `information`. HostTimeout names `what`."""
        until = self.now + timeout_s
        while True:
            try:
                text = yield from self.line(until)
            except HostTimeout:
                self.note("<-", f"(nothing for {timeout_s:g} s)")
                raise HostTimeout(f"{what} within {timeout_s:g} s") from None
            if text.strip().upper().startswith("AT"):
                continue  # echo
            self.note("<-", ascii(text)[1:-1])
            if text in FINAL_RESULTS or text in CLASS1_RESULTS:
                return text
            if text == "RING":
                self.n_rings += 1
            self.information.append(text)

    def command(self, text: str, timeout_s: float) -> Script[str]:
        """`AT` + text; the result code."""
        self.note("->", "AT" + text)
        self.write(b"AT" + text.encode("ascii") + b"\r")
        return (yield from self.result("AT" + text, timeout_s))

    def command_ok(self, text: str, timeout_s: float = 30.0) -> Script[None]:
        """`AT` + text, which must bring OK."""
        result = yield from self.command(text, timeout_s)
        if result != "OK":
            raise CallFailed(f"AT{text} brought {result}")

    def query(self, text: str) -> Script[str]:
        """A command with one information line; the line."""
        self.information.clear()
        yield from self.command_ok(text, 5.0)
        return self.information[-1] if self.information else ""

    def set_up(self) -> Script[None]:
        """The program's own set-up lines, each of which must bring OK."""
        for text in self.habits.setup:
            yield from self.sleep(self.habits.before_command_s)
            result = yield from self.command(text, 30.0)
            if result != "OK" and text not in self.habits.quiet_errors:
                raise CallFailed(f"set-up: AT{text} brought {result}")

    def supported_codes(self, command: str) -> Script[set[int]]:
        """The modulation codes that `+FTM=?` or `+FRM=?` lists."""
        text = yield from self.query(command)
        for mark in "()":
            text = text.replace(mark, " ")
        words = text.rpartition(":")[2].replace(",", " ").split()
        return {int(word) for word in words if word.isdigit()}

    def abort_receive(self) -> Script[None]:
        """CAN, then OK within 2 s (a modem that was done already has another result on its way)."""
        self.note("->", "CAN")
        self.write(CAN)
        try:
            yield from self.result("CAN", 2.0)
        except HostTimeout:
            yield from self.command("", 5.0)

    def data_until_etx(self, what: str, idle_s: float) -> Script[bytes]:
        """Received data without its stuffing, up to DLE ETX; HostTimeout when nothing comes for `idle_s`."""
        data = bytearray()
        idle_until = self.now + idle_s
        while True:
            taken = self._unstuff(data)
            if taken is None:
                return bytes(data)
            if taken:
                idle_until = self.now + idle_s
            if self.now >= idle_until:
                raise HostTimeout(f"DLE ETX of {what}")
            yield

    def _unstuff(self, data: bytearray) -> int | None:
        """Move what has come to `data`; how many bytes were taken, None: DLE ETX was met."""
        taken = 0
        while self._in:
            dle = self._in.find(DLE)
            if dle < 0:
                dle = len(self._in)
            data += self._in[:dle]
            taken += dle
            del self._in[:dle]
            if len(self._in) < 2:
                break
            code = self._in[1]
            del self._in[:2]
            taken += 2
            if code == ETX:
                return None
            if code == DLE:
                data.append(DLE)
            elif code == SUB:
                data += bytes((DLE, DLE))
        return taken

    # --- Class 1 actions ---------------------------------------------------------------------------------

    def silence_then(self, silence: str, action: str, timeout_s: float) -> Script[str]:
        """A `+FTS`/`+FRS` command (or a pause) and the action after it; the action's result."""
        if silence and self.habits.chained:
            result = yield from self.command(f"{silence};{action}", timeout_s)
            if result == "OK":  # a modem that does only the first half: mgetty sends the second again
                result = yield from self.command(action, timeout_s)
            return result
        if silence:
            yield from self.command_ok(silence)
        else:
            yield from self.sleep(self.habits.turnaround_s)
        return (yield from self.command(action, timeout_s))

    def send_frames(self, frames: list[bytes], silence: str, *, implicit: bool = False) -> Script[None]:
        """Send frames (address, control, …) on V.21; only the last is final (control bit 0x10).

        `implicit`: the carrier is up already (after ATA), so no +FTH.
        """
        if not implicit:
            result = yield from self.silence_then(silence, "+FTH=3", 7.55)
            self._expect("CONNECT", result, "+FTH=3")
        yield from self.send_frames_on_carrier(frames)

    def send_frames_on_carrier(self, frames: list[bytes]) -> Script[None]:
        """The same when CONNECT of +FTH=3 is here."""
        for i, frame in enumerate(frames):
            last = i == len(frames) - 1
            assert bool(frame[1] & 0x10) == last, "control octet says final, the list does not"
            self.note("->", f"frame {frame.hex(' ')}")
            self.write(stuff(frame))
            result = yield from self.result("a frame", 10.0)
            self._expect("OK" if last else "CONNECT", result, "a frame")

    def send_fast(self, code: int, data: bytes, silence: str, bits_per_s: int) -> Script[None]:
        """+FTM=code, `data`, OK."""
        result = yield from self.silence_then(silence, f"+FTM={code}", 7.55)
        self._expect("CONNECT", result, f"+FTM={code}")
        yield from self.sleep(self.habits.data_delay_s)
        self.note("->", f"{len(data)} bytes at {bits_per_s} bit/s")
        self.write(stuff(data))
        yield from self.drained()
        result = yield from self.result(f"+FTM={code} data", 60.0 + len(data) * 8 / bits_per_s)
        self._expect("OK", result, f"+FTM={code} data")

    def receive_frame(self, timeout_s: float, *, implicit: bool = False) -> Script[bytes | None]:
        """One frame without its FCS; None: nothing, or nothing good, came in time.

        `implicit`: CONNECT has come already (after ATD, after +FRH:3).
        """
        if not implicit:
            try:
                result = yield from self.command("+FRH=3", timeout_s)
            except HostTimeout:
                yield from self.abort_receive()
                return None
            if result == "ERROR":
                raise CallFailed("the call is gone (ERROR to AT+FRH=3)")
            if result != "CONNECT":
                return None
        try:
            if (yield from self._no_frame_after_all(10.0)):
                return None
            data = yield from self.data_until_etx("a frame", 10.0)
            result = yield from self.result("a received frame", 10.0)
        except HostTimeout:
            yield from self.abort_receive()
            return None
        self.note("<-", f"frame {data.hex(' ')} {result}")
        if result == "NO CARRIER":
            return None  # the carrier went without a frame; were it the call, the next command says ERROR
        if result != "OK" or len(data) < 5:
            return b""
        if fcs(data[:-2]) != data[-2:]:
            raise CallFailed(f"the modem says OK to a frame with a wrong FCS: {data.hex(' ')}")
        return data[:-2]

    def _no_frame_after_all(self, timeout_s: float) -> Script[bool]:
        """Whether a result code follows CONNECT where a frame (its first octet is never CR) was due."""
        until = self.now + timeout_s
        while not self._in:
            if self.now >= until:
                raise HostTimeout("the first octet of a frame")
            yield
        if self._in[0] not in b"\r\n":
            return False
        yield from self.result("a frame", timeout_s)
        return True

    def receive_fast(self, code: int, timeout_s: float, idle_s: float) -> Script[tuple[str, bytes]]:
        """+FRM=code: ("NO CARRIER", data) is the good end; ("", b"") is nothing in time.

        ("+FCERROR", b"") and ("+FRH:3", b"") tell of a V.21 carrier; after the latter CONNECT is read.
        """
        try:
            result = yield from self.command(f"+FRM={code}", timeout_s)
        except HostTimeout:
            yield from self.abort_receive()
            return "", b""
        if result == "+FRH:3":
            self._expect("CONNECT", (yield from self.result("+FRH:3", 5.0)), "+FRH:3")
            return result, b""
        if result in ("+FCERROR", "+F4"):
            return "+FCERROR", b""
        if result == "ERROR":
            raise CallFailed(f"the call is gone (ERROR to AT+FRM={code})")
        if result != "CONNECT":
            return result, b""
        data = yield from self.data_until_etx(f"AT+FRM={code}", idle_s)
        self.note("<-", f"{len(data)} bytes")
        result = yield from self.result("the end of received data", 5.0)
        return result, data

    def _expect(self, wanted: str, got: str, what: str) -> None:
        if got == wanted:
            return
        if got == "NO CARRIER":
            raise CallFailed(f"the far end hung up ({what})")
        if got == "ERROR":
            raise CallFailed(f"the modem refused {what} (ERROR)")
        raise CallFailed(f"{what} brought {got} where {wanted} was due")

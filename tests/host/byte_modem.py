"""Two Class 1 modems joined at the byte level: no signals, only what carrier is up and which bytes it brings.

The far end of the test fax programs' own tests. Just enough of T.31 that both programs see what a modem
would tell them, at the pace a line would have; faults are asked for by name (`Faults`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from tests.host.class1 import CAN, ETX, Class1Program, fcs, stuff
from tests.host.t30 import MODULATIONS

STEP_S = 0.02
RATES = {m.code: m.bits_per_s for m in MODULATIONS.values()} | {
    m.page_code: m.bits_per_s for m in MODULATIONS.values()
}
V21 = 3
_CODES = ",".join(map(str, sorted(RATES)))
_TRAINING_S = {
    72: 0.25,
    96: 0.25,
    73: 1.4,
    97: 1.4,
    121: 1.4,
    145: 1.4,
    74: 0.14,
    98: 0.14,
    122: 0.14,
    146: 0.14,
}


@dataclass
class Faults:
    """What goes wrong on the line."""

    no_training: set[int] = field(default_factory=set)
    "modulations whose training the receiver never gets"
    lost_frames: dict[int, int] = field(default_factory=dict)
    "FCF → how many frames of that kind vanish (the first ones)"
    bad_fcs_frames: dict[int, int] = field(default_factory=dict)
    damaged_pages: int = 0
    "how many of the first pages (bursts of data that are no TCF) lose every third block"
    hang_up_at_s: float | None = None


class ByteModem:
    """One modem: `host_bytes` and `output` on the program's side, `carrier` and friends on the line's."""

    def __init__(self, faults: Faults) -> None:
        self.output = bytearray()
        self.faults = faults
        self.peer: ByteModem | None = None
        self.off_hook = self.ringing = False
        self.carrier = 0
        "0: silence, 3: V.21, else the code of a fast modem"
        self.training_s = 0.0
        "time until the carrier brings data"
        self.dialled = ""
        self._mode = "command"
        self._line = bytearray()
        self._stuffed = bytearray()
        self._wait_s = 0.0
        self._chain = ""
        self._data: deque[int] = deque()
        self._data_ended = False
        self._fraction = 0.0
        self._frame: bytes | None = None
        self._frame_s = 0.0
        self._frh_code = 0
        self._far = False
        self._page_blocks = 0
        self._damage = False
        self._burst = bytearray()
        self.frames: deque[bytes] = deque()
        "received, not yet delivered (FCS appended; empty: bad FCS)"
        self._echo = True

    # --- the program's side ------------------------------------------------------------------------------

    def host_bytes(self, data: bytes) -> None:
        """What the program writes."""
        for byte in data:
            self._host_byte(byte)

    def _host_byte(self, byte: int) -> None:
        if self._mode in ("fth", "ftm"):
            self._stuffed.append(byte)
            if len(self._stuffed) == 2 and self._stuffed[0] == 0x10:
                code = self._stuffed[1]
                self._stuffed.clear()
                if code == ETX:
                    self._host_data_ended()
                elif code == 0x10:
                    self._data.append(0x10)
            elif byte != 0x10:
                self._stuffed.clear()
                self._data.append(byte)
        elif self._mode in ("frh", "frm", "frs", "dial", "frm-data"):
            if self._mode == "frm-data":
                self.output += b"\x10\x03"
            self._say("OK")
        elif self._mode == "command":
            if self._echo:
                self.output.append(byte)
            if byte == 13:
                line = self._line.decode("ascii").upper()
                self._line.clear()
                if line.startswith("AT"):
                    self._command(line[2:])
            elif byte != CAN[0]:
                self._line.append(byte)

    def _say(self, *texts: str, mode: str = "command") -> None:
        for text in texts:
            self.output += f"\r\n{text}\r\n".encode("ascii")
        self._mode = mode

    def _command(self, text: str) -> None:
        head, _, self._chain = text.partition(";")
        if head.startswith(("+FT", "+FR")) and head.endswith("=?"):
            self._say(_CODES if "M" in head else "3", "OK")
        elif head.startswith(("+FTS=", "+FRS=", "+FTH=", "+FRH=", "+FTM=", "+FRM=")):
            self._class1(head[1:4].lower(), int(head[5:]))
        elif head.startswith("DT"):
            self.dialled, self.off_hook, self._mode = head[2:], True, "dial"
        elif head == "A":
            if not self.ringing or self.peer is None:
                self._say("NO CARRIER")
                return
            self.ringing, self.off_hook, self._mode, self._wait_s = False, True, "ced", 3.3
        elif head in ("H0", "H"):
            self._go_on_hook()
            self._say("OK")
        elif head == "+FAR=1":
            self._far = True
            self._say("OK")
        elif head == "I3":
            self._say("ByteModem", "OK")
        else:
            if "E0" in head:
                self._echo = False
            self._say("OK")

    def _go_on_hook(self) -> None:
        was, self.off_hook, self.carrier, self.dialled = self.off_hook, False, 0, ""
        self.frames.clear()
        if was and self.peer is not None:
            self.peer.far_end_gone()

    def far_end_gone(self) -> None:
        """The call has ended from the other side."""
        if not self.off_hook:
            return
        self.off_hook, self.carrier = False, 0
        if self._mode in ("frm-data",):
            self.output += b"\x10\x03"
        if self._mode != "command":
            self._say("NO CARRIER")

    def _class1(self, action: str, value: int) -> None:
        if not self.off_hook:
            self._say("ERROR")
        elif action == "fts":
            self.carrier, self._wait_s, self._mode = 0, value / 100, "fts"
        elif action == "frs":
            self._wait_s, self._mode = value / 100, "frs"
        elif action == "fth":
            self.frames.clear()
            if self.carrier != V21:
                self.carrier, self.training_s = V21, 1.0
            self._say("CONNECT", mode="fth")
        elif action == "ftm":
            self.carrier, self.training_s = value, _TRAINING_S.get(value, 0.95)
            self._burst.clear()
            self._data.clear()
            self._data_ended = False
            self._say("CONNECT", mode="ftm")
        elif action == "frh":
            self._mode = "frh"
            self._frh_connected = False
        elif action == "frm":
            self._frh_code, self._mode = value, "frm"

    def _host_data_ended(self) -> None:
        if self._mode == "ftm":
            self._data_ended = True
            self._mode = "ftm-end"
        else:
            self._frame = bytes(self._data)
            self._data.clear()
            self._frame_s = (len(self._frame) + 3) * 8 * 1.05 / 300
            self._mode = "fth-frame"

    # --- the line's side ---------------------------------------------------------------------------------

    def step(self) -> None:
        """20 ms of sending."""
        assert self.peer is not None
        if self._mode == "ced":
            self._wait_s -= STEP_S
            if self._wait_s <= 0:
                self.carrier, self.training_s = V21, 1.0
                self._say("CONNECT", mode="fth")
        elif self._mode == "fts":
            self._wait_s -= STEP_S
            if self._wait_s <= 0:
                self._done_waiting()
        elif self._mode == "frs":
            self._wait_s = self._wait_s - STEP_S if not self.peer.carrier else max(self._wait_s, 0.07)
            if self._wait_s <= 0:
                self._done_waiting()
        if self.carrier and self.training_s > 0:
            self.training_s -= STEP_S
        elif self.carrier == V21:
            self._step_v21()
        elif self.carrier:
            self._step_fast()

    def _done_waiting(self) -> None:
        if self._chain:
            self._command(self._chain)
        else:
            self._say("OK")

    def _step_v21(self) -> None:
        if self._frame is None or self.peer is None:
            return
        self._frame_s -= STEP_S
        if self._frame_s > 0:
            return
        frame, self._frame = self._frame, None
        self.peer.frame_arrives(frame)
        if frame[1] & 0x10:
            self.carrier = 0
            self._say("OK")
        else:
            self._say("CONNECT", mode="fth")

    def _step_fast(self) -> None:
        assert self.peer is not None
        self._fraction += RATES[self.carrier] * STEP_S / 8
        n = int(self._fraction)
        self._fraction -= n
        started = bool(self._burst)
        taken = bytes(self._data.popleft() for _ in range(min(n, len(self._data))))
        fill = (
            b"" if self._data_ended and not self._data else (b"\0" if started else b"\xff") * (n - len(taken))
        )
        self._burst += taken[:1]
        self.peer.data_arrives(self.carrier, taken + fill)
        if self._data_ended and not self._data:
            self.carrier = 0
            self._say("OK")

    def frame_arrives(self, frame: bytes) -> None:
        """A whole frame has come over V.21."""
        if self.carrier:
            return  # half duplex: a modem that sends hears nothing
        fcf = frame[2] & 0xFE
        if self.faults.lost_frames.get(fcf, 0):
            self.faults.lost_frames[fcf] -= 1
            return
        if self.faults.bad_fcs_frames.get(fcf, 0):
            self.faults.bad_fcs_frames[fcf] -= 1
            self.frames.append(frame + b"\0\0" if fcs(frame) != b"\0\0" else frame + b"\1\0")
            return
        self.frames.append(frame + fcs(frame))

    def data_arrives(self, code: int, data: bytes) -> None:
        """Data of a fast modem has come."""
        if self._mode != "frm-data" or code != self._frh_code:
            return
        if self._damage:
            self._page_blocks += 1
            if self._page_blocks % 3 == 0:
                data = bytes(byte ^ 0x55 for byte in data)
        elif any(byte not in (0, 0xFF) for byte in data) and self.faults.damaged_pages:
            self.faults.damaged_pages -= 1
            self._damage = True
        self.output += stuff(data)[:-2]

    def listen(self) -> None:
        """20 ms of receiving: what the peer's carrier means to the command that waits."""
        assert self.peer is not None
        heard = self.peer.carrier if self.peer.training_s <= 0 or self.peer.carrier == V21 else 0
        if self._mode == "dial" and (heard == V21 or self.frames):
            self._say("CONNECT", mode="frh")
            self._frh_connected = True
        if self._mode == "frm":
            if heard == V21:
                if self._far:
                    self._say("+FRH:3", "CONNECT", mode="frh")
                    self._frh_connected = True
                else:
                    self._say("+FCERROR")
            elif heard == self._frh_code and heard not in self.faults.no_training:
                self._say("CONNECT", mode="frm-data")
        elif self._mode == "frm-data" and heard != self._frh_code:
            self._damage = False
            self.output += b"\x10\x03"
            self._say("NO CARRIER")
        elif self._mode == "frh":
            self._listen_frh(heard)

    def _listen_frh(self, heard: int) -> None:
        if not self._frh_connected:
            if heard != V21 and not self.frames:
                return
            self._say("CONNECT", mode="frh")
            self._frh_connected = True
        if self.frames:
            if self.frames[0][1] & 0x10 and heard == V21:
                return  # the final frame's OK waits for the end of the carrier
            frame = self.frames.popleft()
            self.output += stuff(frame)
            self._say("OK" if fcs(frame[:-2]) == frame[-2:] else "ERROR")
        elif heard != V21:
            self._say("NO CARRIER")


def run_call(
    sender: Class1Program, receiver: Class1Program, faults: Faults | None = None, *, limit_s: float = 900.0
) -> float:
    """Set both programs up, let one call the other, run until both are done; seconds of virtual time."""
    faults = faults or Faults()
    modems = (ByteModem(faults), ByteModem(faults))
    modems[0].peer, modems[1].peer = modems[1], modems[0]
    programs = (sender, receiver)
    now, next_ring = 0.0, 0.0
    while not (sender.done and receiver.done) and now < limit_s:
        now += STEP_S
        for program, modem in zip(programs, modems, strict=True):
            output = bytes(modem.output)
            modem.output.clear()
            program.receive(output, now)
            modem.host_bytes(program.take_output(4096))
        called = modems[1]
        if modems[0].dialled and not called.off_hook and not receiver.done and now >= next_ring:
            called.ringing, next_ring = True, now + 5.0
            called.output += b"\r\nRING\r\n"
        for modem in modems:
            modem.step()
        for modem in modems:
            modem.listen()
        if faults.hang_up_at_s is not None and now >= faults.hang_up_at_s:
            for modem in modems:
                modem.far_end_gone()
    return now

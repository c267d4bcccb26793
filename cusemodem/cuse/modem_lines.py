"""The wires of the serial cable: those the modem drives, those the host drives, counts of changes."""

from __future__ import annotations

from struct import Struct

# Bits of TIOCMGET (asm-generic/termios.h).
TIOCM_DTR = 0x002
TIOCM_RTS = 0x004
TIOCM_CTS = 0x020
TIOCM_CD = 0x040
TIOCM_RI = 0x080
TIOCM_DSR = 0x100
TIOCM_OUT1 = 0x2000
TIOCM_OUT2 = 0x4000
TIOCM_LOOP = 0x8000

HOST_LINES = TIOCM_DTR | TIOCM_RTS | TIOCM_OUT1 | TIOCM_OUT2 | TIOCM_LOOP
MODEM_LINES = TIOCM_CTS | TIOCM_CD | TIOCM_RI | TIOCM_DSR

# struct serial_icounter_struct: cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk, buf_overrun,
# reserved[9]
ICOUNTER = Struct("<11i36x")


class ModemLines:
    """State of all lines as one word of TIOCM bits, and for each line of the modem how often it changed.

    DSR and CTS are on from the start: the modem has power as long as the port is there.
    """

    def __init__(self) -> None:
        self.state = TIOCM_DSR | TIOCM_CTS
        self.changes = {TIOCM_CTS: 0, TIOCM_DSR: 0, TIOCM_RI: 0, TIOCM_CD: 0}

    def is_on(self, line: int) -> bool:
        """Whether a line is on."""
        return bool(self.state & line)

    def set_modem_line(self, line: int, on: bool) -> bool:
        """The modem drives one line; returns whether it changed.

        RI counts its trailing edge only, as a UART does.
        """
        if self.is_on(line) == on:
            return False
        self.state ^= line
        if line != TIOCM_RI or not on:
            self.changes[line] += 1
        return True

    def set_host_lines(self, lines: int, clear: int = HOST_LINES) -> int:
        """The host clears ``clear``, then sets ``lines``, if they are its own. Returns the bits changed."""
        before = self.state
        self.state = (before & ~(clear & HOST_LINES)) | (lines & HOST_LINES)
        return before ^ self.state

    def pack_counts(self, n_received: int, n_sent: int) -> bytes:
        """``struct serial_icounter_struct``, 80 bytes: changes of lines, bytes either way."""
        count = self.changes
        words = (
            *(count[TIOCM_CTS], count[TIOCM_DSR], count[TIOCM_RI], count[TIOCM_CD]),
            *(n_received, n_sent, 0, 0, 0, 0, 0),
        )
        # The kernel's counters are C ints that wrap.
        return ICOUNTER.pack(*((word + 2**31) % 2**32 - 2**31 for word in words))

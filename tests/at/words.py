"""What modem and host say, for the tests of this room."""

from __future__ import annotations

OK, ERROR, RING, CONNECT = b"\r\nOK\r\n", b"\r\nERROR\r\n", b"\r\nRING\r\n", b"\r\nCONNECT\r\n"
NO_CARRIER, NO_ANSWER, BUSY = b"\r\nNO CARRIER\r\n", b"\r\nNO ANSWER\r\n", b"\r\nBUSY\r\n"
NO_DIALTONE, FCERROR = b"\r\nNO DIALTONE\r\n", b"\r\n+FCERROR\r\n"
END = b"\x10\x03"
CAN = b"\x18"
SHORT = b"\xff\x03\x40"
FINAL = b"\xff\x13\x80"

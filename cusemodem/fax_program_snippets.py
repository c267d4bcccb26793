"""What HylaFAX and mgetty must be told of a modem, made from the modem's own configuration. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cusemodem.config import ModemConfig
from cusemodem.snippets import SnippetError

PLACEHOLDER_NUMBER = "+1.555.0100"
"""Shown where the modem's file has no `cidnumber`."""


def hylafax_config(modem: ModemConfig) -> str:
    """HylaFAX's configuration file of one modem (hylafax-config(5)). Raises SnippetError."""
    name = modem.device_name
    identifier = _quotable(modem, "cidname", modem.cidname)
    number = _quotable(modem, "cidnumber", modem.cidnumber) or PLACEHOLDER_NUMBER
    mode = f"{modem.mode:04o}" if modem.mode is not None else "0600"
    return f"""\
# HylaFAX configuration of {modem.device_path}, a modem of cusemodem. Install it as
#
#   /etc/hylafax/config.{name}           (Debian; elsewhere /var/spool/hylafax/etc/config.{name})
#
# set the first block to your own country and area, and start `faxgetty {name}`; with systemd
# `systemctl enable --now faxgetty@{name}`. hylafax-config(5) explains every line.

CountryCode:		1
AreaCode:		555
LongDistancePrefix:	1
InternationalPrefix:	011
DialStringRules:	etc/dialrules
# From the modem's file: cidnumber and cidname, which the far fax machine prints.
FAXNumber:		{number}
LocalIdentifier:	"{identifier}"

# 0xFFF writes every command, answer and byte to log/c*; 1 only the course of the call.
ServerTracing:		1
SessionTracing:		0xFFF
RecvFileMode:		0600
LogFileMode:		0600
DeviceMode:		{mode}
MaxRecvPages:		200

# --- the modem

ModemType:		Class1

# The speed of a serial line that is not there; any will do.
ModemRate:		38400
# cusemodem holds a writer back by itself. rtscts leaves every byte value free for data; with xonxoff
# HylaFAX would have to look out for XON and XOFF in frames.
ModemFlowControl:	rtscts
# HylaFAX hangs up by dropping DTR, also when it dies; DCD follows the carrier.
ModemSetupDTRCmd:	AT&D2
ModemSetupDCDCmd:	AT&C1

# The first ring is answered: what calls is a fax machine. Who calls, and on which number, stands in the
# lines NMBR=, NAME=, ANID= and NDID= between the rings (+VCID=1).
RingsBeforeAnswer:	1
ModemReadyCmds:		AT+VCID=1
CallIDPattern:		"NMBR="
CallIDPattern:		"NAME="
CallIDPattern:		"ANID="
CallIDPattern:		"NDID="
# To present another number or name with each call than the modem's file has:
#ModemSetOriginCmd:	AT+VSID="%s","%d"

# A caller that goes back to V.21 where a page was due is followed at once (T.31 +FAR).
Class1AdaptRecvCmd:	AT+FAR=1
"""


def mgetty_config(modems: Sequence[ModemConfig]) -> str:
    """Sections for /etc/mgetty/mgetty.config, one a modem. Raises SnippetError."""
    head = """\
# For /etc/mgetty/mgetty.config: modems of cusemodem. One `mgetty NAME` for each, kept alive by init.
# cls1 is Class 1, all that these modems have. It needs a mgetty built with Class 1; Debian's was not:
# it sets the modem up and says `no class 2/2.0 faxmodem, no faxing available`. Then use HylaFAX or efax.
"""
    return head + "".join(_mgetty_port(modem) for modem in modems)


def _mgetty_port(modem: ModemConfig) -> str:
    number = _quotable(modem, "cidnumber", modem.cidnumber) or "+1 555 0100"
    lines = [
        f"port {modem.device_name}",
        "  modem-type cls1",
        "  fax-only y",
        "  speed 38400",
        "  toggle-dtr y",
        '  init-chat "" AT&FE0 OK ATS0=0Q0&D2&C1 OK AT+VCID=1 OK',
        "  rings 1",
        f"  fax-id {number}",
    ]
    if modem.owner is not None:
        lines += [f"  port-owner {modem.owner.user}", f"  port-group {modem.owner.group}"]
    lines.append(f"  port-mode {modem.mode if modem.mode is not None else 0o660:04o}")
    return "\n" + "\n".join(lines) + "\n"


def _quotable(modem: ModemConfig, key: str, value: str) -> str:
    if any(c in value for c in '"\\') or not value.isprintable():
        raise SnippetError(f'{modem.name}: the other program cannot read the {key}: it has " or \\ in it')
    return value

"""What other programs must be told of our modems, made from the modems' own configuration. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cusemodem.config import ModemConfig


class SnippetError(Exception):
    """A configuration that cannot be said in the other program's words; one sentence."""


def asterisk_peers(modems: Sequence[ModemConfig]) -> str:
    """Sections for iax.conf, one a modem. Raises SnippetError."""
    shared = {port for port, n in Counter(modem.port for modem in modems if modem.port).items() if n > 1}
    return "\n".join(_peer(modem, by_name=modem.port in shared) for modem in modems)


def _peer(modem: ModemConfig, *, by_name: bool) -> str:
    for key, value in (("peername", modem.peername), ("secret", modem.secret)):
        if not value:
            raise SnippetError(f"{modem.name} has no {key}; write one in its file")
        if any(c in value for c in ";[]\\") or value != value.strip():
            said = f"Asterisk cannot read the {key}: it has one of ; [ ] \\ or a blank edge"
            raise SnippetError(f"{modem.name}: {said}")
    address = ["host=dynamic"] if modem.refresh_s else ["host=127.0.0.1", f"port={modem.port}"]
    voice = (
        [codec for codec in modem.codecs if codec != "slinear"] if modem.codecs[0] != "slinear" else ["slin"]
    )
    lines = [
        f"[{modem.peername}]",
        "type=friend",
        *address,
        *([f"username={modem.peername}"] if by_name else []),
        "auth=md5",
        f"secret={modem.secret}",
        "context=from-fax",
        "disallow=all",
        *(f"allow={codec}" for codec in voice),
        "jitterbuffer=no",
        *(["encryption=yes"] if modem.encryption != "no" else []),
        *(["forceencryption=yes"] if modem.encryption == "require" else []),
        f"trunk={'yes' if modem.trunk else 'no'}",
        "sendani=yes",
        "requirecalltoken=yes",
    ]
    return "\n".join(lines) + "\n"


def asterisk_dialplan(modems: Sequence[ModemConfig], number: str) -> str:
    """Contexts for extensions.conf: calls for NUMBER try one modem after the other."""
    first, *others = (f"Dial(IAX2/{modem.peername}/${{EXTEN}},60)" for modem in modems)
    steps = "".join(f" same => n,{dial}\n" for dial in others)
    return (
        f"[fax-in]\nexten => {number},1,{first}\n{steps} same => n,Hangup(17)\n\n"
        "[from-fax]\nexten => _X.,1,Dial(PJSIP/${EXTEN}@your-trunk,60)\n"
    )

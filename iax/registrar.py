"""The server's side of registration: challenge an account (MD5, RSA), remember where it is (RFC 5456 §6.1).

Used by the exchange; a modem's endpoint has no registrar.
"""

from __future__ import annotations

from dataclasses import dataclass

from iax.auth import Account, Accounts, methods_of, new_challenge
from iax.causes import FACILITY_REJECTED
from iax.dialogue import Desk, Dialogue
from iax.elements import Element, Elements, fit_text
from iax.events import PeerRegistered, PeerUnregistered
from iax.frames import Address, Command, FullFrame

MIN_REFRESH_S = 10
MAX_REFRESH_S = 3600
ANSWER_WAIT_S = 10.0
"""A client that does not answer the challenge is forgotten."""
GRACE_S = 10
"""A registration is kept for so long beyond what was granted, as chan_iax2 does."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a registered account is."""

    address: Address
    expires: float


class Registrar:
    """The accounts that may register and where they are now."""

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self._contacts: dict[str, Contact] = {}

    def contact(self, name: str, now: float) -> Address | None:
        """Return the address of account NAME, None if it is not registered."""
        contact = self._contacts.get(name)
        return contact.address if contact is not None and now < contact.expires else None

    def registered(self, now: float) -> dict[str, Address]:
        """Return all registered accounts."""
        return {name: contact.address for name, contact in self._contacts.items() if now < contact.expires}

    def at(self, address: Address, now: float) -> bool:
        """Say whether any account is registered from ADDRESS."""
        return any(address == c.address and now < c.expires for c in self._contacts.values())

    def remember(self, name: str, address: Address, expires: float) -> None:
        """Note where an account is. The contacts never outnumber the accounts."""
        self._contacts[name] = Contact(address, expires)

    def forget(self, name: str) -> None:
        """Note that an account has gone."""
        self._contacts.pop(name, None)


class Registrant(Dialogue):
    """One REGREQ or REGREL of a client."""

    def __init__(
        self, desk: Desk, local: int, address: Address, now: float, *, remote: int, registrar: Registrar
    ) -> None:
        super().__init__(desk, local, address, now, remote)
        self._registrar = registrar
        self._challenge = b""
        self._name = ""
        self._deadline = now + ANSWER_WAIT_S

    def start(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Act on the first REGREQ or REGREL: challenge, whoever it is."""
        self._name = fit_text(elements.text(Element.USERNAME))
        self._challenge = new_challenge(self.desk.rng)
        self.send(
            Command.REGAUTH,
            [
                (Element.AUTHMETHODS, methods_of(self._registrar.accounts.values())),
                (Element.CHALLENGE, self._challenge),
                (Element.USERNAME, self._name),
            ],
            now,
        )

    def handle(self, frame: FullFrame, elements: Elements, now: float) -> None:
        """Act on the second REGREQ or REGREL, which carries the proof."""
        if not (frame.is_command(Command.REGREQ) or frame.is_command(Command.REGREL)):
            return
        account: Account | None = self._registrar.accounts.get(self._name)
        proven = account is not None and account.proven_by_untrusted(self._challenge, elements)
        self._challenge = new_challenge(self.desk.rng)  # each is good for one answer
        if account is None or not proven or fit_text(elements.text(Element.USERNAME)) != self._name:
            self.send(
                Command.REGREJ,
                [(Element.CAUSE, "Registration Refused"), (Element.CAUSECODE, FACILITY_REJECTED)],
                now,
            )
        elif frame.is_command(Command.REGREL):
            self._registrar.forget(account.name)
            self.desk.events.append(PeerUnregistered(account.name, self.link.address))
            self.send(Command.REGACK, [(Element.USERNAME, account.name)], now)
        else:
            asked = elements.number(Element.REFRESH) or MIN_REFRESH_S
            refresh_s = min(max(asked, MIN_REFRESH_S), MAX_REFRESH_S)
            address = self.link.address
            self._registrar.remember(account.name, address, now + refresh_s + GRACE_S)
            self.desk.events.append(PeerRegistered(self, account.name, address, refresh_s))
            self.send(
                Command.REGACK,
                [
                    (Element.USERNAME, account.name),
                    (Element.REFRESH, refresh_s),
                    (Element.APPARENT_ADDR, address),
                ],
                now,
            )
        self.finish(now)

    def own_timer(self) -> float | None:
        """Return when we stop waiting for the answer."""
        return self._deadline

    def handle_own_timer(self, now: float) -> None:
        """Stop waiting."""
        self.handle_invalid(now)

    def handle_dead(self, now: float) -> None:
        """The client went away."""
        self.finish(now)

    def handle_invalid(self, now: float) -> None:
        """The client does not know this dialogue."""
        self.link.stop()
        self.finish(now)

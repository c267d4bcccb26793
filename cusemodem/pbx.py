"""The PBX as a modem's configuration has it, in IAX2's terms."""

from __future__ import annotations

import iax
from cusemodem.config import ModemConfig
from iax.server_names import ServerNames

_ENCRYPTION = {
    "no": iax.Encryption.OFF,
    "yes": iax.Encryption.ALLOWED,
    "require": iax.Encryption.REQUIRED,
}


def server_names(config: ModemConfig) -> ServerNames:
    """The PBX's names and those that stand in for it."""
    return ServerNames([(config.server_host, config.server_port), *config.backup_servers])


def peer_config(config: ModemConfig, addresses: tuple[iax.Address, ...]) -> iax.PeerConfig:
    """How to deal with the PBX, which is at `addresses`, the best first."""
    return iax.PeerConfig(
        addresses[0],
        config.peername,
        config.secret,
        config.refresh_s,
        alternatives=addresses[1:],
        private_key=config.private_key,
        server_key=config.server_key,
        encryption=_ENCRYPTION[config.encryption],
        challenge_calls=config.challenge_calls or bool(config.server_key),
        presentation=iax.Presentation.RESTRICTED if config.number_withheld else None,
        demand_call_token=config.demand_call_token,
        allow_plaintext=config.allow_plaintext,
        trunk=config.trunk,
        reliable_voice=config.reliable_voice and not config.trunk,
        follow_transfers=config.transfer,
        keep_alive_s=config.keep_alive_s,
        accept_from=config.accept_from,
    )

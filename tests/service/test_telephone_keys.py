"""A real service with the keys about the PBX: one that is away, one behind IPv6, encryption, RSA."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.iax.keys import PRIVATE_KEY, PUBLIC_KEY
from tests.service.running import CUSEMODEM, RunningService, eventually


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_the_backup_server_behind_ipv6_knows_us_by_key(tmp_path: Path) -> None:
    public, private = tmp_path / "fax0.pub", tmp_path / "fax0.key"
    public.write_bytes(PUBLIC_KEY)
    private.write_bytes(PRIVATE_KEY)
    command = [*CUSEMODEM, "exchange", "--listen", "[::1]:0", "--encryption", "allowed", "--codecs", "alaw"]
    command += ["--peer", "fax0:other-secret:100", "--rsa-key", f"fax0={public}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as exchange:
        try:
            assert exchange.stdout is not None
            port = int(exchange.stdout.readline().rpartition(":")[2])
            with RunningService(tmp_path, 9) as service:  # nobody is at port 9
                service.modem(
                    0,
                    f"backup_servers = [::1]:{port}",
                    f"outkey = {private}",
                    "encryption = yes",
                    "codecs = alaw, ulaw",
                    "keep_alive = no",
                )
                service.start()
                eventually(lambda: (service.line("ttyIAX0") or {}).get("registered") == "yes")
                assert service.stop() == 0
            exchange.terminate()
            notices = exchange.stdout.read()
        finally:
            exchange.terminate()
    assert "fax0 registered from ::1:" in notices
    assert "fax0 withdrew its registration" in notices

"""Fax programs and gettys, unmodified, on the port: HylaFAX's probe and faxgetty, mgetty's data call, efax.

Whole faxes by these programs, with audio, are in `tests/system`.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.bed.guest import REPOSITORY
from tests.kernel.host import run
from tests.kernel.programs import AtModem, log_of, modem

LOCKS = Path("/var/lock")


def prepare_hylafax() -> None:
    """As Debian's units start it; and what its set-up looks for, a mail program and its own `ondelay`."""
    run("mount", "--bind", "/etc/hylafax", "/var/spool/hylafax/etc")
    # Debian's wrapper of this name makes probemodem hang on any port; what it wraps is HylaFAX's own.
    ondelay = Path("/usr/sbin/ondelay")
    ondelay.unlink(missing_ok=True)
    ondelay.symlink_to("/usr/lib/hylafax/bin/ondelay")
    for name in ("/usr/lib/sendmail", "/usr/sbin/sendmail"):
        if not Path(name).exists():
            Path(name).symlink_to("/bin/true")


def hylafax_probes_the_modem() -> None:
    """probemodem, as faxaddmodem runs it: `cat` and `printf` on a port left in canonical mode."""
    with modem() as at:
        said = Path(f"/tmp/probe-{at.name}")
        with said.open("wb") as out:
            program = subprocess.Popen(
                ["/usr/lib/hylafax/bin/probemodem", at.name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            # It goes on to ask ATI1 to ATI9 and more, five seconds each.
            at.wait_for("the answer to ATI0", lambda: "ATI0\tRESULT" in said.read_text(), 100)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{log_of(said)}") from error
        finally:
            os.killpg(program.pid, signal.SIGKILL)
            program.wait()
        found = said.read_text()
        assert 'ATI0\tRESULT = "OK"\tRESPONSE = "cusemodem' in found, found
        assert "38400" in found, found
        assert "Class 1" in found, found
        assert "AT+FCLASS=?" in at.text("heard"), at.text("heard")


def faxgetty_initialises_answers_and_resets() -> None:
    """faxgetty: VMIN 127 VTIME 1, DTR reset, RING, ATA, a caller who says nothing and hangs up, and again."""
    with modem() as at:
        configuration = (REPOSITORY / "docs" / "hylafax" / "config.ttyIAX0").read_text()
        Path(f"/etc/hylafax/config.{at.name}").write_text(configuration)
        status = Path(f"/var/spool/hylafax/status/{at.name}")
        getty = subprocess.Popen(
            ["/usr/sbin/faxgetty", at.name],
            cwd="/var/spool/hylafax",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

        def says(text: str) -> bool:
            return status.exists() and text in status.read_text()

        try:
            at.wait_for("faxgetty is idle", lambda: says("Running and idle"), 60)
            heard = at.text("heard")
            assert "ATZ\r" in heard, heard
            assert "AT+FCLASS=1" in heard, heard
            dtr = [event for event in at.status()["events"] if event.startswith("Dtr")]
            assert dtr.count("DtrDropped") >= 1, "it resets the modem by DTR"
            assert dtr[-1] == "DtrRaised", dtr
            at.tell("ring")
            at.wait_heard("ATA\r", 60)
            at.wait_for("the answer", lambda: "SendFlags" in at.status()["actions"], 60)
            n_before = at.status()["events"].count("DtrDropped")
            at.tell("ended")
            at.wait_for("the hang-up", lambda: at.status()["events"].count("DtrDropped") > n_before, 60)
            n_resets = at.text("heard").count("ATZ\r")
            at.wait_for("the next reset", lambda: at.text("heard").count("ATZ\r") > n_resets, 60)
        finally:
            getty.terminate()
            try:
                getty.wait(10)
            except subprocess.TimeoutExpired:
                getty.kill()
                getty.wait()


def mgetty_takes_a_data_call() -> None:
    """mgetty: initialisation, lock file, RING, ATA, CONNECT, login; then DTR and HUPCL hang up."""
    with modem("data") as at:
        far = Path(f"/tmp/{at.name}")
        far.mkdir()
        shell = far / "login"
        # What a getty starts: it owns the line, says so, obeys one line, and leaves.
        shell.write_text(
            "#!/bin/sh\n"
            f"trap 'echo hup > {far}/hup; exit' HUP\n"
            'printf "hello %s\\n" "$1"\n'
            f"tty > {far}/tty\n"
            "read word\n"
            'printf "you said %s\\n" "$word"\n'
            f'[ "$word" = stay ] && {{ sleep 30 & wait; }}\n'
        )
        shell.chmod(0o755)
        Path("/etc/mgetty").mkdir(exist_ok=True)
        Path("/etc/mgetty/login.config").write_text(f"* - - {shell} @\n")
        Path("/etc/mgetty/mgetty.config").write_text(
            "debug 4\ndata-only yes\nspeed 38400\ntoggle-dtr yes\ntoggle-dtr-waittime 500\nrings 1\n"
            "ignore-carrier no\nissue-file /etc/issue.mgetty\nblocking no\n"
        )
        lock = LOCKS / f"LCK..{at.name}"
        first = _mgetty(at)
        try:
            _ring_until_connected(at, first, lock)
            at.tell("far", data=b"guest\r".hex())
            at.wait_for("the login program", lambda: "hello guest" in at.text("far_heard"), 60)
            assert "ello guest\r\n" in at.text("far_heard"), "ONLCR for the far end"
            at.tell("far", data=b"wpr\x7f\x7ford\r".hex())
            at.wait_for("an answer", lambda: "you said word\r\n" in at.text("far_heard"), 60)
            at.wait_for("its end", lambda: first.poll() is not None, 60)
            at.wait_for("DTR dropped by HUPCL", lambda: not at.status()["dtr"], 20)
            assert (far / "tty").read_text().strip() == at.path
        finally:
            first.kill()
            first.wait()
        n_before = at.text("far_heard").count("login:")
        second = _mgetty(at)
        try:
            _ring_until_connected(at, second, lock, n_before)
            at.tell("far", data=b"guest\r".hex())
            at.wait_for("the login program", lambda: at.text("far_heard").count("hello guest") > 1, 60)
            at.tell("far", data=b"stay\r".hex())
            at.wait_for("an answer", lambda: "you said stay" in at.text("far_heard"), 60)
            # The carrier is lost: the session is hung up, as by a real tty.
            at.tell("far hangs up")
            at.wait_for("SIGHUP", (far / "hup").exists, 60)
            at.wait_for("its end", lambda: second.poll() is not None, 60)
        finally:
            second.kill()
            second.wait()


def _mgetty(at: AtModem) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["/sbin/mgetty", "-x", "4", at.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _ring_until_connected(
    at: AtModem, getty: "subprocess.Popen[bytes]", lock: Path, n_before: int = 0
) -> None:
    log = Path(f"/var/log/mgetty/mg_{at.name}.log")
    try:
        n_done = at.text("said").count("OK")
        at.wait_for("the initialisation", lambda: at.text("said").count("OK") > n_done, 60)
        time.sleep(3)
        assert not lock.exists(), "an idle mgetty leaves the line to others"
        at.tell("ring")
        at.wait_for("the prompt", lambda: at.text("far_heard").count("login:") > n_before, 40)
        assert int(lock.read_text()) == getty.pid, "the lock is its own"
    except (TimeoutError, AssertionError) as error:
        raise AssertionError(f"{error}\n{log_of(log)}") from error


def efax_initialises_and_gives_up() -> None:
    """efax: its commands one by one, an answer, silence, and its way out of it."""
    with modem() as at:
        directory = Path(f"/tmp/efax-{at.name}")
        directory.mkdir()
        os.chdir(directory)
        # -w: the modem answers by itself (S0=1).
        options = f"-v ewinr -o1 -d {at.path} -iZ -i&FE0&D2S7=120S0=1 -kZ -w -r page".split()
        program = subprocess.Popen(
            ["efax", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            at.wait_heard("AT+FRM=?\r", 60)
            time.sleep(0.5)
            at.tell("ring")
            at.wait_for("the answer", lambda: "SendFlags" in at.status()["actions"], 60)
            at.tell("ended")
            output, _ = program.communicate(timeout=60)
        finally:
            program.kill()
            program.wait()
        heard = at.text("heard")
        for command in ("ATZ\r", "AT&FE0&D2S7=120S0=1\r", "AT+FCLASS=1\r"):
            assert command in heard, (command, heard, output)
        assert program.returncode in (1, 2, 3, 4), (program.returncode, output)
        assert not Path(f"/var/lock/LCK..{at.name}").exists()

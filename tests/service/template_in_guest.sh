#!/bin/bash
# In a guest that booted systemd: the template unit over changes of its modem's file, and docs/mgetty.md's drop-in.
# Usage: template_in_guest.sh REPOSITORY PYTHON. Prints a line for each thing seen; the last is "all done".
set -eu
repository=$1 python=$2
cat > /usr/local/bin/cusemodem <<WRAP
#!/bin/sh
PYTHONPATH=$repository exec $python -c 'import sys; from cusemodem.cli import main; sys.exit(main())' "\$@"
WRAP
chmod +x /usr/local/bin/cusemodem
install -m 644 "$repository/systemd/sysusers.conf" /usr/lib/sysusers.d/cusemodem.conf
systemd-sysusers
install -m 644 "$repository/systemd/cusemodem@.service" /etc/systemd/system/
install -m 644 "$repository/udev/60-cusemodem.rules" /etc/udev/rules.d/
udevadm control --reload
udevadm trigger --action=add --subsystem-match=misc --sysname-match=cuse
udevadm settle
# Wherever this repository and its Python are, the service's user must get there; only this guest sees the change.
for path in "$repository" "$(readlink -f "$python")" "$(readlink -f "$(dirname "$python")")"; do
    while [ "$path" != / ]; do
        path=$(dirname "$path")
        chmod o+x "$path"
    done
done
chown -R cusemodem "$repository/dsp"
drop_ins=/etc/systemd/system/cusemodem@.service.d
mkdir -p "$drop_ins" /etc/cusemodem/modems
printf '[Service]\nPrivateTmp=no\nProtectHome=no\nEnvironment=NUMBA_CACHE_DIR=\nReadWritePaths=%s/dsp\n' "$repository" \
    > "$drop_ins/test.conf"
modem() {  # LINE...: the modem's file says this too
    printf '[modem]\npeername = fax5\nport = 4575\nserver = 127.0.0.1:9\nnodaemon = yes\n' > /etc/cusemodem/modems/fax5
    printf '%s\n' "$@" >> /etc/cusemodem/modems/fax5
}
restarted() {  # WHAT
    systemctl restart cusemodem@fax5 || { systemctl status cusemodem@fax5 --no-pager; exit 1; }
    udevadm settle
    now=$(stat -c %i /dev/ttyIAX5 2>/dev/null || true)
    kept=no; [ -n "$now" ] && [ "$now" = "${node-}" ] && kept=yes
    node=$now
    echo "$1: $(systemctl show -P ActiveState cusemodem@fax5) $(cd /dev; echo ttyIAX*) kept $kept," \
        "stored $(systemctl show -P NFileDescriptorStore cusemodem@fax5)"
}
terminal() { (cd "$repository"; PYTHONPATH=$repository setsid -w "$python" -m tests.service.controlling "/dev/$1"); }
systemctl daemon-reload
modem 'device = /dev/ttyIAX5'
restarted "at first"
restarted "again"
echo "controlling terminal: $(terminal ttyIAX5)"
modem 'device = /dev/ttyIAX5' 'keep = no'
restarted "keep = no"
modem 'device = /dev/ttyIAX5'
restarted "keep = yes"
modem 'device = /dev/ttyIAX6'
restarted "another device"
# As docs/mgetty.md has it.
sed -n 's/^    \(\[Service\]\|ProtectProc=.*\|[A-Za-z]*Capabilit.*\)$/\1/p' "$repository/docs/mgetty.md" > "$drop_ins/terminal.conf"
systemctl daemon-reload
restarted "drop-in"
echo "controlling terminal with the drop-in: $(terminal ttyIAX6)"
systemctl stop cusemodem@fax5
for _ in $(seq 50); do [ ! -e /dev/ttyIAX6 ] && break; sleep 0.1; done
echo "stopped: $(systemctl show -P Result cusemodem@fax5) restarts $(systemctl show -P NRestarts cusemodem@fax5)" \
    "$(find /dev -name 'ttyIAX*' | wc -l) nodes"
echo "all done"

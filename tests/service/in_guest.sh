#!/bin/bash
# In a guest that booted systemd: the shipped units as they are, the service's own user, a real /dev/cuse.
# Usage: in_guest.sh REPOSITORY PYTHON. Prints a line for each thing seen; the last is "all done".
set -eu
repository=$1 python=$2
cat > /usr/local/bin/cusemodem <<WRAP
#!/bin/sh
PYTHONPATH=$repository exec $python -c 'import sys; from cusemodem.cli import main; sys.exit(main())' "\$@"
WRAP
chmod +x /usr/local/bin/cusemodem
install -m 644 "$repository/systemd/sysusers.conf" /usr/lib/sysusers.d/cusemodem.conf
systemd-sysusers
install -m 644 "$repository/systemd/cusemodem.service" /etc/systemd/system/
chgrp cusemodem /dev/cuse
chmod 660 /dev/cuse
mkdir -p /etc/cusemodem/modems
for k in 0 1; do
    printf '[modem]\npeername = fax%s\nport = 457%s\nserver = 127.0.0.1:9\n' $k $k > /etc/cusemodem/modems/ttyIAX$k
done
# Wherever this repository and its Python are (in /tmp, below somebody's home), the service's user must get there;
# an installed cusemodem would be in /usr. Only this guest sees the change.
for path in "$repository" "$(readlink -f "$python")" "$(readlink -f "$(dirname "$python")")"; do
    while [ "$path" != / ]; do
        path=$(dirname "$path")
        chmod o+x "$path"
    done
done
# compiled code that is there already, so that the guest need not compile
chown -R cusemodem "$repository/dsp"
mkdir -p /etc/systemd/system/cusemodem.service.d
printf '[Service]\nEnvironment=NUMBA_CACHE_DIR=\nReadWritePaths=%s/dsp\nPrivateTmp=no\nProtectHome=no\n' "$repository" \
    > /etc/systemd/system/cusemodem.service.d/test.conf
systemctl daemon-reload
systemctl start cusemodem.service || { systemctl status cusemodem --no-pager; exit 1; }
echo "active: $(systemctl show -P ActiveState cusemodem) $(systemctl show -P StatusText cusemodem)"
for k in 0 1; do [ -c /dev/ttyIAX$k ] && echo "node: ttyIAX$k"; done
pid=$(systemctl show -P MainPID cusemodem)
echo "user: $(stat -c %U "/proc/$pid") capabilities: $(awk '/CapEff/ {print $2}' "/proc/$pid/status")"
cusemodem status | grep -c 'ready' | sed 's/^/ready lines: /'
printf '[modem]\npeername = fax2\nport = 4572\nserver = 127.0.0.1:9\n' > /etc/cusemodem/modems/ttyIAX2
rm /etc/cusemodem/modems/ttyIAX1
systemctl reload cusemodem
for _ in $(seq 100); do [ -c /dev/ttyIAX2 ] && [ ! -e /dev/ttyIAX1 ] && break; sleep 0.1; done
echo "after reload: $(cd /dev; echo ttyIAX*)"
journalctl -u cusemodem CUSEMODEM_LINE=ttyIAX0 --no-pager -o cat | head -1 | sed 's/^/journal: /'
kill -9 "$pid"
for _ in $(seq 100); do
    now=$(systemctl show -P MainPID cusemodem)
    [ "$now" != "$pid" ] && [ "$now" != 0 ] && [ "$(systemctl show -P ActiveState cusemodem)" = active ] && break
    sleep 0.1
done
echo "after kill -9: $(systemctl show -P ActiveState cusemodem) restarts $(systemctl show -P NRestarts cusemodem)"
systemctl stop cusemodem
echo "stopped: $(systemctl show -P Result cusemodem) $(find /dev -name 'ttyIAX*' | wc -l) nodes"
echo "all done"

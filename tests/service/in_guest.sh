#!/bin/bash
# In a guest that booted systemd: the shipped units as they are, the service's own user, a real /dev/cuse.
# Usage: in_guest.sh REPOSITORY PYTHON [cold]. Prints a line for each thing seen; the last is "all done".
# With `cold` the first start finds nothing compiled, and has to get through all the same.
set -eu
repository=$1 python=$2 cold=${3-}
cat > /usr/local/bin/cusemodem <<WRAP
#!/bin/sh
PYTHONPATH=$repository exec $python -c 'import sys; from cusemodem.cli import main; sys.exit(main())' "\$@"
WRAP
chmod +x /usr/local/bin/cusemodem
# What the README tells a user to type, word for word, from its own lines.
readme() {  # PATTERN
    grep -E "^    ($1)" "$repository/README.md" | sed 's/^    //; s/ttyIAX0/ttyIAX1/g' > /tmp/readme.sh
    bash -eu /tmp/readme.sh
}
ln -s "$repository" /opt/cusemodem-source
readme 'cd /opt/cusemodem-source|install -D|udevadm'
echo "cuse: $(stat -c '%G %a' /dev/cuse)"
echo "module at boot: $(systemd-analyze cat-config modules-load.d | grep -cx cuse)"
install -m 644 "$repository"/systemd/cusemodem*.service /etc/systemd/system/
# A unit that is not bound to its port, but by our drop-in.
printf '[Service]\nExecStart=/bin/sleep infinity\n' > /etc/systemd/system/otherfax@.service
install -D -m 644 "$repository/systemd/faxgetty@.service.d/cusemodem.conf" \
    /etc/systemd/system/otherfax@.service.d/cusemodem.conf
"$repository/tests/bed/guest-packages" unpack hylafax
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
settings='[Service]\nPrivateTmp=no\nProtectHome=no\n'
if [ -z "$cold" ]; then  # compiled code that is there already, so that the guest need not compile
    chown -R cusemodem "$repository/dsp"
    settings="${settings}Environment=NUMBA_CACHE_DIR=\nReadWritePaths=$repository/dsp\n"
fi
for unit in cusemodem.service cusemodem@.service; do
    mkdir -p "/etc/systemd/system/$unit.d"
    printf '%b' "$settings" > "/etc/systemd/system/$unit.d/test.conf"
done
systemctl daemon-reload
began=$(date +%s)
systemctl start cusemodem.service || { systemctl status cusemodem --no-pager; exit 1; }
[ -z "$cold" ] || echo "cold start: $(($(date +%s) - began)) s, $(find /var/cache/cusemodem -name '*.nbc' | wc -l) kernels kept"
echo "active: $(systemctl show -P ActiveState cusemodem) $(systemctl show -P StatusText cusemodem)"
for k in 0 1; do [ -c /dev/ttyIAX$k ] && echo "node: ttyIAX$k"; done
udevadm settle
echo "udev: $(stat -c '%U %G %a' /dev/ttyIAX0) $(readlink -f /dev/serial/by-id/cusemodem-ttyIAX0)"
echo "properties: $(udevadm info -q property /dev/ttyIAX0 | grep -E '^(ID_MM|ID_SERIAL|TAGS)' | sort | tr '\n' ' ')"
echo "device unit: $(systemctl show -P ActiveState dev-ttyIAX0.device)"
systemctl start otherfax@ttyIAX0
echo "unit with our drop-in: $(systemctl show -P ActiveState otherfax@ttyIAX0)"
began=$(date +%s)
readme 'cusemodem config hylafax|systemctl restart hylafax'
for _ in $(seq 300); do grep -q 'Running and idle' /var/spool/hylafax/status/ttyIAX1 2>/dev/null && break; sleep 0.1; done
unit=$(systemctl show -P FragmentPath faxgetty@ttyIAX1)$(systemctl show -P DropInPaths faxgetty@ttyIAX1)
echo "faxgetty by the README: $(systemctl show -P ActiveState faxgetty@ttyIAX1) $(cat /var/spool/hylafax/status/ttyIAX1) ($unit)"
echo "faxgetty is idle after: $(($(date +%s) - began)) s"
PYTHONPATH=$repository
export PYTHONPATH
coproc holder { cd "$repository" && exec "$python" -m tests.service.port_holder /dev/ttyIAX0; }
holding() {  # WHAT: the program still has its port open; does its modem answer?
    echo >&"${holder[1]}"
    read -r -t 60 -u "${holder[0]}" answer || answer="nothing at all"
    echo "program $1: $answer"
}
read -r -t 60 -u "${holder[0]}" answer && echo "program: $answer"
before=$(stat -c '%i %U %a' /dev/ttyIAX0)
holding "at first"
pid=$(systemctl show -P MainPID cusemodem)
echo "user: $(stat -c %U "/proc/$pid") capabilities: $(awk '/CapEff/ {print $2}' "/proc/$pid/status")"
echo "nice: $(awk '{print $19}' "/proc/$pid/stat")"
cusemodem status | grep -c 'ready' | sed 's/^/ready lines: /'
printf '[modem]\npeername = fax2\nport = 4572\nserver = 127.0.0.1:9\n' > /etc/cusemodem/modems/ttyIAX2
rm /etc/cusemodem/modems/ttyIAX1
# As docs/hylafax.md has it: every port that appears brings its faxgetty.
sed -n "s/^    \(sed -i .*SYSTEMD_WANTS\)/\1/p" "$repository/docs/hylafax.md" > /tmp/guide.sh
bash -eu /tmp/guide.sh
systemctl reload cusemodem
for _ in $(seq 100); do [ -c /dev/ttyIAX2 ] && [ ! -e /dev/ttyIAX1 ] && break; sleep 0.1; done
echo "after reload: $(cd /dev; echo ttyIAX*)"
gone() {  # UNIT: it does not run; faxgetty's own end, when its port is gone before systemd acts, is no failure here
    for _ in $(seq 100); do
        case $(systemctl show -P ActiveState "$1") in inactive | failed) echo gone; return ;; esac
        sleep 0.1
    done
    systemctl show -P ActiveState "$1"
}
echo "faxgetty of the port that went: $(gone faxgetty@ttyIAX1)"
for _ in $(seq 100); do [ "$(systemctl show -P ActiveState faxgetty@ttyIAX2)" = active ] && break; sleep 0.1; done
getty=$(systemctl show -P MainPID faxgetty@ttyIAX2)
echo "faxgetty of the port that came: $(systemctl show -P ActiveState faxgetty@ttyIAX2)"
systemctl start cusemodem-status.service || systemctl status cusemodem-status --no-pager
echo "status file: $(cat /run/cusemodem/lines/ttyIAX0/status)"
echo "metrics: $(setpriv --reuid nobody --clear-groups grep -c '^cusemodem_line_ready' /run/cusemodem/service/metrics)"
printf '[modem]\npeername = fax5\nport = 4575\nserver = 127.0.0.1:9\nnodaemon = yes\n' > /etc/cusemodem/modems/ttyIAX5
systemctl start cusemodem@ttyIAX5.service || systemctl status cusemodem@ttyIAX5 --no-pager
pid5=$(systemctl show -P MainPID cusemodem@ttyIAX5)
echo "template: $(systemctl show -P ActiveState cusemodem@ttyIAX5) $(cd /dev; echo ttyIAX5) $(stat -c %U "/proc/$pid5")"
node5=$(stat -c %i /dev/ttyIAX5)
kill -9 "$pid5"
for _ in $(seq 100); do
    now=$(systemctl show -P MainPID cusemodem@ttyIAX5)
    [ "$now" != "$pid5" ] && [ "$now" != 0 ] && [ "$(systemctl show -P ActiveState cusemodem@ttyIAX5)" = active ] && break
    sleep 0.1
done
[ "$(stat -c %i /dev/ttyIAX5)" = "$node5" ] && echo "template after kill -9: the same node"
systemctl stop cusemodem@ttyIAX5
for _ in $(seq 50); do [ ! -e /dev/ttyIAX5 ] && break; sleep 0.1; done
echo "template stopped: $(systemctl show -P Result cusemodem@ttyIAX5) $(find /dev -name ttyIAX5 | wc -l) nodes"
journalctl -u cusemodem CUSEMODEM_LINE=ttyIAX0 --no-pager -o cat | head -1 | sed 's/^/journal: /'
date -s "@$(($(date +%s) + 34560000))" > /dev/null
sleep 3
echo "clock set: $(systemctl show -P ActiveState cusemodem), restarts $(systemctl show -P NRestarts cusemodem), $(cusemodem status | grep -c ready) ready"
date -s "@$(($(date +%s) - 34560000))" > /dev/null
kill -9 "$pid"
for _ in $(seq 100); do
    now=$(systemctl show -P MainPID cusemodem)
    [ "$now" != "$pid" ] && [ "$now" != 0 ] && [ "$(systemctl show -P ActiveState cusemodem)" = active ] && break
    sleep 0.1
done
echo "after kill -9: $(systemctl show -P ActiveState cusemodem) restarts $(systemctl show -P NRestarts cusemodem)"
echo "stored: $(systemctl show -P NFileDescriptorStore cusemodem)"
holding "after kill -9 of the service"
systemctl restart cusemodem
holding "after systemctl restart"
pkill -9 -P "$(systemctl show -P MainPID cusemodem)"
holding "after kill -9 of the worker"
[ "$(stat -c '%i %U %a' /dev/ttyIAX0)" = "$before" ] && echo "node: the same all the time"
echo "device unit: $(systemctl show -P ActiveState dev-ttyIAX0.device) since before"
echo "stored: $(systemctl show -P NFileDescriptorStore cusemodem)"
[ "$(systemctl show -P MainPID faxgetty@ttyIAX2)" = "$getty" ] && echo "faxgetty: the same all the time"
systemctl stop cusemodem
for _ in $(seq 50); do [ ! -e /dev/ttyIAX0 ] && break; sleep 0.1; done
echo "status unit: $(systemctl show -P ActiveState cusemodem-status) mounts $(grep -c /run/cusemodem /proc/mounts || true)"
echo "faxgetty after stop: $(gone faxgetty@ttyIAX2)"
echo "unit with our drop-in, after stop: $(gone otherfax@ttyIAX0)"
echo "stopped: $(systemctl show -P Result cusemodem) $(find /dev -name 'ttyIAX*' | wc -l) nodes"
systemctl start cusemodem
for _ in $(seq 100); do [ "$(systemctl show -P ActiveState faxgetty@ttyIAX2)" = active ] && break; sleep 0.1; done
echo "faxgetty after the next start: $(systemctl show -P ActiveState faxgetty@ttyIAX2)"
systemctl stop cusemodem
echo "all done"

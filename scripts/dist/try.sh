#!/usr/bin/env bash
# try.sh DIST NAME VERSION: tests the archive, the package, the image and the service of .build/dist. Each runs in a
# root file system with only Debian's base system, or with nothing, and without a network except loopback. Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
dist=$1 name=$2 version=$3
bare=$PWD/.build/bare models=${LAR_TEST_MODELS:-$PWD/.build/models}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf '\033[1m· %s\033[0m\n' "$*" >&2; }

# make_bare TO [OPTIONS]: installs Debian's base system, unless it exists.
make_bare() {
  [ ! -e "$1/etc/debian_version" ] || return 0
  say "installing a bare Debian in .build"
  rm -rf "$1"
  debootstrap --variant=minbase "${@:2}" bookworm "$1" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
}
make_bare "$bare"

# inside ROOT SCRIPT: runs a script in ROOT. It has only the loopback network and sees only its own processes.
inside() {
  cat >"$1/script" <<<"set -eu; export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LAR_LOG=error DEBIAN_FRONTEND=noninteractive; $2"
  env -i PATH="$PATH" unshare --net --mount --pid --fork -- bash -euc \
    'ip link set lo up; mount --bind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" sh /script' "$1"
}
# has WORDS TEXT: fails unless TEXT contains WORDS.
has() { grep -qF -- "$1" <<<"$2" || { printf 'missing: %s\n%s\n' "$1" "$2"; exit 1; }; }

say "the archive"
root=$work/archive
cp -a "$bare" "$root"
cp "$dist/$name.tar.gz"* "$root/root/"
cp -r "$models" "$root/models"
output=$(inside "$root" "
  cd /root; sha256sum -c $name.tar.gz.sha256; mkdir /opt/lar; tar -xzf $name.tar.gz -C /opt/lar --strip-components 1
  export LAR_MODELS_DIR=/models; lar=/opt/lar/lar
  \$lar ask 'Say hello.'; \$lar remember 'The ferry leaves from the north harbour.'
  \$lar upgrade $name.tar.gz; \$lar recall 'Which harbour?'; \$lar upgrade --undo; \$lar recall 'Which harbour?'; \$lar doctor || true")
has "Upgraded $version to $version" "$output"
has "Went back from $version to $version" "$output"
[ "$(grep -c 'north harbour' <<<"$output")" -ge 2 ]
rm -rf "$root"

say "the package"
root=$work/package deb=$(basename "$dist"/lar_*.deb)
cp -a "$bare" "$root"
cp "$dist/$deb" "$root/root/"
cp -r "$models" "$root/models"
# The same package with a later version.
dpkg-deb -R "$dist/$deb" "$work/later"
sed -i "s/^Version: .*/Version: $version+later/" "$work/later/DEBIAN/control"
dpkg-deb -Zgzip --build "$work/later" "$root/root/later.deb" >/dev/null
rm -rf "$work/later"
output=$(inside "$root" "
  cd /root; dpkg -i $deb; lar --version; dpkg -V lar
  export LAR_MODELS_DIR=/models LAR_DATA_DIR=/var/lib/lar
  lar remember 'The ferry leaves from the north harbour.'; lar ask 'Say hello.'
  dpkg -i later.deb; dpkg -s lar | grep Version; lar memory forget \$(lar memory list --json | grep -o 'mem_[0-9a-f]*' | head -n 1)
  dpkg -i $deb; lar backup restore \$(ls /var/lib/lar/backups/*.tar | head -n 1); lar recall 'Which harbour?'
  mv /var/lib/lar /var/lib/kept; mkdir /var/lib/lar; echo noise >/var/lib/lar/lar.db
  if dpkg -i later.deb 2>&1; then exit 1; fi; dpkg -s lar | grep '^Version: $version$'; rm -r /var/lib/lar; mv /var/lib/kept /var/lib/lar
  dpkg -P lar; test -e /var/lib/lar/lar.db; test ! -e /usr/lib/lar; test ! -e /usr/bin/lar")
has "Version: $version+later" "$output"
has "lar: /var/lib/lar/backups/" "$output"
has "the backup failed, so nothing was changed" "$output"
has "north harbour" "$output"
has "the data stays in /var/lib/lar" "$output"
rm -rf "$root"

say "the image"
archive=$dist/$name-oci.tar
skopeo inspect "docker-archive:$archive" >"$work/inspected"
has '"lar:'"$version"'"' "$(skopeo list-tags "docker-archive:$archive")"
mkdir "$work/image" "$work/data"
# A volume, as a container runtime creates it.
chown 65532:65532 "$work/data"
tar -C "$work/image" -xf "$archive"
umoci unpack --image "$work/image:$version" "$work/bundle"
python3 - "$work/bundle/config.json" "$work/data" <<'END'
import json, sys
config = json.load(open(sys.argv[1]))
process = config["process"]
assert (process["user"]["uid"], process["user"]["gid"]) == (65532, 65532), process["user"]
process["terminal"], process["noNewPrivileges"] = False, True
process["capabilities"] = {}
config["root"]["readonly"] = True
# The control groups of this machine are not part of the test.
config["linux"].pop("resources", None)
config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] not in ("/data", "/sys/fs/cgroup")]
config["mounts"].append({"destination": "/data", "type": "bind", "source": sys.argv[2], "options": ["rbind", "rw"]})
json.dump(config, open(sys.argv[1], "w"))
END
contained=lar-try-$$
began=$(date +%s%N)
runc run --bundle "$work/bundle" "$contained" </dev/null >"$work/out" 2>"$work/err" &
trap 'runc kill "$contained" KILL 2>/dev/null || true; wait; runc delete -f "$contained" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 200); do grep -q '^Lar is at' "$work/out" && break; sleep 0.05; done
grep -q '^Lar is at http://127.0.0.1:5270' "$work/out" || { cat "$work/out" "$work/err"; exit 1; }
echo "started in $((($(date +%s%N) - began) / 1000000)) ms"
in_image() { runc exec "$contained" /usr/bin/lar "$@"; }
in_image remember "The ferry leaves from the north harbour." >/dev/null
has "north harbour" "$(in_image recall 'Where do I board the boat?')"
has "all-minilm-l6-v2" "$(in_image models list)"
in_image doctor || true
runc kill "$contained" TERM
wait %% || true
test -e "$work/data/lar.db" && test ! -e "$work/data/server.json"
trap 'rm -rf "$work"' EXIT

say "the machine's service, under systemd"
booted=$PWD/.build/booted root=$work/booted
make_bare "$booted" --include=systemd,systemd-sysv,dbus
cp -a "$booted" "$root"
cp "$dist/$name.tar.gz"* "$root/root/"
mkdir -p "$root/root/broken/lar/lib"
# A broken release: it starts on a copy of the data, and fails on the original.
cat >"$root/root/broken/lar/lar" <<'END'
#!/bin/sh
case "$*" in
  --version) echo lar 9.9.9; exit ;;
  *dry-run*) ;;
  *serve*) exit 1 ;;
esac
for program in /opt/lar/lar /opt/lar.previous/lar; do
  [ "$(head -c 4 $program | tail -c 3)" = ELF ] && exec $program "$@"
done
END
chmod +x "$root/root/broken/lar/lar"
tar -C "$root/root/broken" -czf "$root/root/broken.tar.gz" lar
(cd "$root/root" && sha256sum broken.tar.gz >broken.tar.gz.sha256)
setsid systemd-nspawn --boot --directory "$root" --private-network --register=no --keep-unit --console=pipe \
  </dev/null >"$work/boot.log" 2>&1 &
nspawn=$!
trap 'kill $nspawn 2>/dev/null || true; wait $nspawn 2>/dev/null || true; rm -rf "$work"' EXIT
booted() {
  nsenter --target "$(pgrep --parent $nspawn)" --all -- \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LAR_LOG=error LAR_DATA_DIR=/var/lib/lar sh -euc "$1"
}
for _ in $(seq 120); do booted 'systemctl is-system-running' 2>/dev/null | grep -qE 'running|degraded' && break; sleep 0.25; done
mkdir "$root/opt/lar"
tar -xzf "$dist/$name.tar.gz" -C "$root/opt/lar" --strip-components 1
output=$(booted '
  /opt/lar/lar service install --system; sleep 1; systemctl is-active lar')
cp -r "$models/." "$root/var/lib/private/lar/models"
chown -R --reference="$root/var/lib/private/lar" "$root/var/lib/private/lar/models"
output=$(booted "
  cd /root; systemctl restart lar; sleep 1
  /opt/lar/lar remember 'The ferry leaves from the north harbour.'
  systemctl kill --signal KILL lar; sleep 4; systemctl is-active lar; /opt/lar/lar ask --max-tokens 8 'Say hello.'
  /opt/lar/lar upgrade $name.tar.gz; /opt/lar/lar upgrade --undo
  ! /opt/lar/lar upgrade broken.tar.gz 2>&1; /opt/lar/lar --version; systemctl is-active lar
  /opt/lar/lar recall 'Which harbour?'; systemctl stop lar; find /var/lib/private/lar -user root")
has "Upgraded $version to $version. Lar is running." "$output"
has "Went back from $version to $version." "$output"
has "9.9.9 did not become ready; restored $version and its data" "$output"
has "north harbour" "$(tail -n 1 <<<"$output")"
say "all of them work without a network"

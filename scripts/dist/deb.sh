#!/usr/bin/env bash
# deb.sh RELEASE VERSION TO: builds a Debian package from the folder of a release, in the folder TO.
set -euo pipefail
cd "$(dirname "$0")/../.."
release=$1 version=$2 to=$3
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

umask 022
mkdir -p "$root"/{DEBIAN,usr/bin,usr/lib/lar,usr/lib/systemd/system,usr/share/doc/lar}
mkdir -p "$root"/usr/share/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
cp -r "$release/lar" "$release/lib" "$root/usr/lib/lar/"
ln -s ../lib/lar/lar "$root/usr/bin/lar"
cp LICENSE "$root/usr/share/doc/lar/copyright"
gzip -9nc CHANGELOG.md >"$root/usr/share/doc/lar/changelog.gz"
lar=$root/usr/lib/lar/lar
"$lar" completions bash >"$root/usr/share/bash-completion/completions/lar"
"$lar" completions zsh >"$root/usr/share/zsh/vendor-completions/_lar"
"$lar" completions fish >"$root/usr/share/fish/vendor_completions.d/lar.fish"
"$lar" service install --system --print --program /usr/lib/lar/lar >"$root/usr/lib/systemd/system/lar.service"

# The newest version of glibc that one of the files needs.
libc=$(objdump -T "$lar" "$root"/usr/lib/lar/lib/*.so* | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -n 1 | cut -d_ -f2)
architecture=$(dpkg --print-architecture)
sed -e "s/@version@/$version/" -e "s/@architecture@/$architecture/" -e "s/@libc@/$libc/" packaging/deb/control >"$root/DEBIAN/control"
for script in preinst postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$root/DEBIAN/"; done
dpkg-deb --root-owner-group -Zxz --build "$root" "$to/lar_${version}_$architecture.deb" >/dev/null

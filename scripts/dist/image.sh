#!/usr/bin/env bash
# image.sh RELEASE VERSION TO: builds a container image from the folder of a release, with the starter embedder. The
# OCI archive also works with `docker load`. From Debian, the image has only the C library and the CA certificates; it
# has no shell.
set -euo pipefail
cd "$(dirname "$0")/../.."
release=$1 version=$2 to=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

umask 022
root=$work/root
mkdir -p "$root"/{etc/ssl/certs,usr/bin,usr/lib/lar,usr/share/lar/models/{manifests,blobs},usr/share/doc/lar}
mkdir "$work/debs"
# The packages are downloaded, because the installed files may have been changed.
(cd "$work/debs" && apt-get download -qq libc6 ca-certificates 2>/dev/null && for deb in *.deb; do dpkg-deb -x "$deb" .; done)
triplet=$(cc -print-multiarch)
mkdir -p "$root/lib/$triplet" "$root/lib64"
for library in libc.so.6 libm.so.6 libdl.so.2 libpthread.so.0 librt.so.1 libresolv.so.2; do
  cp -L "$work/debs/lib/$triplet/$library" "$root/lib/$triplet/"
done
loader=$(basename "$work/debs/lib/$triplet"/ld-linux-*.so.*)
cp -L "$work/debs/lib/$triplet/$loader" "$root/lib/$triplet/"
ln -s "../lib/$triplet/$loader" "$root/lib64/$loader"
cat "$work"/debs/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
for package in libc6 ca-certificates; do
  install -D -m 644 "$work/debs/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
done
echo 'lar:x:65532:65532::/data:/usr/sbin/nologin' >"$root/etc/passwd"
echo 'lar:x:65532:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

cp -r "$release/lar" "$release/lib" "$root/usr/lib/lar/"
ln -s ../lib/lar/lar "$root/usr/bin/lar"
cp LICENSE "$root/usr/share/doc/lar/copyright"
models=${LAR_TEST_MODELS:-$PWD/.build/models}
cp "$models/manifests/all-minilm-l6-v2.json" "$root/usr/share/lar/models/manifests/"
for digest in $(grep -o '"sha256": "[0-9a-f]*"' "$models/manifests/all-minilm-l6-v2.json" | cut -d'"' -f4); do
  echo "$digest  $models/blobs/sha256-$digest" | sha256sum --check --quiet
  cp "$models/blobs/sha256-$digest" "$root/usr/share/lar/models/blobs/"
done
find "$root" -exec touch -h -d @0 {} +

layer=$work/layer.tar
tar -C "$root" --sort=name --owner=0 --group=0 -cf "$layer" .
mkdir -p "$work/own/data" "$work/shared/tmp"
chmod 700 "$work/own/data" && chmod 1777 "$work/shared/tmp"
tar -C "$work/own" --owner=65532 --group=65532 --mtime=@0 -rf "$layer" ./data
tar -C "$work/shared" --owner=0 --group=0 --mtime=@0 -rf "$layer" ./tmp

image=$work/image
umoci init --layout "$image"
umoci new --image "$image:$version"
umoci raw add-layer --image "$image:$version" "$layer"
settings=(--config.user 65532:65532 --config.workingdir /data --config.volume /data --config.exposedports 5270/tcp
  --config.entrypoint /usr/bin/lar --config.cmd serve
  --config.env PATH=/usr/bin --config.env HOME=/data --config.env LAR_DATA_DIR=/data
  --config.env LAR_INCLUDED_MODELS_DIR=/usr/share/lar/models
  # The container has its own network namespace. The published ports decide who can connect.
  --config.env LAR_LISTEN=0.0.0.0:5270 --config.env LAR_INSECURE_LAN=true
  --config.label org.opencontainers.image.title=Lar --config.label "org.opencontainers.image.version=$version"
  --config.label org.opencontainers.image.licenses=Apache-2.0)
umoci config --image "$image:$version" "${settings[@]}"
umoci gc --layout "$image"

# `docker load` reads this file besides OCI's index.
python3 - "$image" "$version" <<'END'
import json, pathlib, sys
image, version = pathlib.Path(sys.argv[1]), sys.argv[2]
blob = lambda digest: "blobs/" + digest.replace(":", "/")
index = json.loads((image / "index.json").read_text())
manifest = json.loads((image / blob(index["manifests"][0]["digest"])).read_text())
layers = [blob(layer["digest"]) for layer in manifest["layers"]]
images = [{"Config": blob(manifest["config"]["digest"]), "RepoTags": [f"lar:{version}"], "Layers": layers}]
(image / "manifest.json").write_text(json.dumps(images))
END
tar -C "$image" -cf "$to" .

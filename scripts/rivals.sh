#!/usr/bin/env bash
# Installs the programs that `make bench` compares Lar with, at the versions that the results name.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  "litellm[proxy]==1.106.2" smg==1.13.0 vllm-router==0.1.17
  onnx==1.23.2 onnxruntime==1.31.1 safetensors tokenizers numpy
)
home=$PWD/.build/rivals

if [ "$(cat "$home/packages" 2>/dev/null)" = "${packages[*]}" ]; then exit 0; fi
printf '\033[1m· installing %s to .build\033[0m\n' "${packages[*]}" >&2
rm -rf "$home"
python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --target "$home" "${packages[@]}"
echo "${packages[*]}" >"$home/packages"

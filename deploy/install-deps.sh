#!/usr/bin/env bash
# Installs from Debian 12's own archive what Wherry needs.
#
#   deploy/install-deps.sh            what building and running need
#   deploy/install-deps.sh --tests    that, and what the tests need
#
# Does nothing, and needs no network, when everything is there already.
set -euo pipefail

build=(
    build-essential cmake ninja-build pkg-config musl-tools
    libuv1-dev libprotobuf-c-dev protobuf-c-compiler
    libcurl4-openssl-dev libcap-dev libseccomp-dev libssl-dev
    libsqlite3-dev libyaml-dev libjansson-dev libarchive-dev libzstd-dev zlib1g-dev
    libwebsockets-dev libwebsockets-evlib-uv libmnl-dev libxxhash-dev
)
run=(nftables iproute2 procps util-linux busybox-static umoci curl)
tests=(
    check clang-14 libclang-rt-14-dev clang-format clang-tidy gcovr universal-ctags
    runc podman skopeo docker-registry etcd-server jq
    qemu-system-x86 cpio kmod xz-utils zstd
    python3 libfaketime strace dnsmasq-base
)

want=("${build[@]}" "${run[@]}")
case "${1:-}" in
"") ;;
--tests) want+=("${tests[@]}") ;;
-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) echo "install-deps.sh: unknown argument '$1' (allowed: --tests)" >&2; exit 2 ;;
esac

missing=()
for p in "${want[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "install-deps.sh: must be root to install: ${missing[*]}" >&2
    exit 1
fi
echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Services of test tools (registry, etcd) must not start by themselves.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    made_policy=1
fi
trap '[ -z "$made_policy" ] || rm -f $policy' EXIT
log=$(mktemp)
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "install-deps.sh: apt-get failed; its log is $log" >&2
    exit 1
fi
rm -f "$log"

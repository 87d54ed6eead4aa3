#!/usr/bin/env bash
# The proxy side by side with nginx and HAProxy, before the same scripted coordinator. The proxy under measurement has core
# 0, generator and coordinator have core 1; rounds are interleaved. CPU is what the kernel counts for the processes, so it
# holds on a busy machine too; rates and latencies need a quiet one. Tables go to standard output, and the same to
# target/bench/gateway.json. What is fetched and built comes before anything is measured.
#
#   gateway.sh [SCENARIO…] [OPTION…]   scenarios: small large gzip rss polls idle cold (all of them); options: those of the
#                                      generator (--help), for example --nginx-buffer 64
#
# ROUNDS (5) and SECONDS_PER_ROUND (10) say how long; WARREN_BINARY measures another binary than this tree's.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=../hack/images/warren.sh
source "$HACK/images/warren.sh"
cd "$BENCHES/.."

program() { # NAME: where it is; what the machine has comes first
  command -v "$1" || { [ -d /usr/sbin ] && PATH=/usr/sbin command -v "$1"; } || {
    "$HACK/tools.sh" "$1" && echo "$TOOLS/$1-debian/$1"
  }
}

machine() { # what the numbers depend on
  echo "$(date -u +%F), $(nproc) cores of $(sed -n 's/^model name\s*: //p' /proc/cpuinfo | head -n 1), Linux $(uname -r)," \
    "$("$nginx" -v 2>&1 | sed 's/.*: //'), $("$haproxy" -v | awk '/version/ {print "haproxy/" $3; exit}')," \
    "$("$warren" --version)"
}

(($(nproc) >= 2)) || die "this needs two cores: one for the proxy, one for everything else"
command -v dpkg-deb >/dev/null || command -v nginx >/dev/null || die "this needs nginx and haproxy, or Debian's dpkg-deb to unpack them"
nginx=$(program nginx)
haproxy=$(program haproxy)
warren=$(warren_binary)
step "building the generator"
cargo build --locked --release --quiet --manifest-path benches/gateway/Cargo.toml --target-dir target/bench-gateway
ulimit -n "$(ulimit -Hn)" # a thousand polls are four thousand sockets

folder=target/bench/gateway # configurations and logs, to be looked at afterwards
rm -rf "$folder"
mkdir -p "$folder"
target/bench-gateway/release/gateway-bench --nginx "$nginx" --haproxy "$haproxy" --warren "$warren" --folder "$folder" \
  --json target/bench/gateway.json --about "$(machine)" --rounds "${ROUNDS:-5}" --seconds "${SECONDS_PER_ROUND:-10}" "$@"

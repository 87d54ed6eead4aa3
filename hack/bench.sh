#!/usr/bin/env bash
# All measurements of benches/, each in one run with what it is compared to. They are no tests: a busy machine changes
# them. The results that the docs give are in docs/performance.md.
#
#   bench.sh            all
#   bench.sh NAME…      some, by the names of the files in benches/
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cluster() { # with this tree's operator in it
  local settings
  settings=$("$HACK/cluster.sh" env)
  eval "$settings"
  "$HACK/tools.sh" helm kubectl trino
  "$HACK/images.sh" trino 476
  [ -n "${WARREN_SKIP_INSTALL:-}" ] || "$HACK/install.sh"
}

(($#)) || set -- gateway rows slow start memory scale rest # the first three before there is a cluster, which takes its share
ready=
for name in "$@"; do
  if [[ " gateway rows slow " != *" $name "* ]] && [ -z "$ready" ]; then
    cluster
    ready=yes
  fi
  step "benches/$name.sh"
  "$HACK/../benches/$name.sh"
done

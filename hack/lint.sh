#!/usr/bin/env bash
# Everything that can be checked without building an image or starting a cluster. Each check is one line of the output;
# a failed one is followed by what it said. Exit code 0 only when all of them pass.
#
#   lint.sh            all checks
#   lint.sh NAME…      some: fmt clippy deny scripts crds helm schema goldens
#   lint.sh --update   writes the charts' goldens anew, to be read in `git diff`
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$HACK/.."
CHECKS=(fmt clippy deny scripts crds helm schema goldens)
CARGO_DENY_VERSION=0.20.2
CHART=deploy/helm/warren
GOLDENS=tests/golden/helm
FAILURES=0
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

BENCH=benches/gateway/Cargo.toml # a package of its own
fmt() { cargo fmt --check && cargo fmt --check --manifest-path "$BENCH"; }
clippy() {
  cargo clippy --locked --all-targets --quiet -- -D warnings
  cargo clippy --locked --all-targets --quiet --manifest-path "$BENCH" --target-dir target/bench-gateway -- -D warnings
}

cargo_deny() { # built once, whole or not at all
  local folder=$TOOLS/cargo-deny-$CARGO_DENY_VERSION
  if [ ! -x "$folder/cargo-deny" ]; then
    run_logged "building cargo-deny" "$WARREN_CACHE/log/cargo-deny.log" \
      cargo install --locked --quiet cargo-deny --version "$CARGO_DENY_VERSION" --root "$TOOLS/.cargo-deny"
    mkdir -p "$folder"
    mv "$TOOLS/.cargo-deny/bin/cargo-deny" "$folder/"
    rm -rf "$TOOLS/.cargo-deny"
  fi
  "$folder/cargo-deny" --locked "$@"
}

# The advisories are a database of its own, which a machine without the Internet cannot fetch.
deny() {
  [ -f deny.toml ] || { echo "there is no deny.toml"; return 1; }
  cargo_deny check --hide-inclusion-graph bans licenses sources
  if timeout 30 "$TOOLS/cargo-deny-$CARGO_DENY_VERSION/cargo-deny" fetch db &>/dev/null; then
    cargo_deny check --hide-inclusion-graph advisories
  else
    echo "note: the advisories were not checked: their database cannot be fetched from here" >&3
  fi
}

scripts() {
  local file
  for file in hack/*.sh hack/*/*.sh benches/*.sh tests/kuttl/*.sh tests/clients/*.sh .ci/run; do bash -n "$file"; done
  command -v shellcheck >/dev/null || "$HACK/tools.sh" packages
  shellcheck --external-sources --source-path=SCRIPTDIR hack/*.sh benches/*.sh tests/kuttl/*.sh tests/clients/*.sh .ci/run
}

crds() { # the chart's copies; that crds/ is what the types say is a test of the crate
  diff -r -u crds "$CHART/files/crds" || { echo "the chart's CRDs are not those of crds/; mend it by: make generate"; return 1; }
}

helm() { "$TOOLS/helm-$HELM_VERSION/helm" "$@"; }
need_helm() { "$HACK/tools.sh" helm; }

lint_helm() {
  need_helm
  helm lint --strict --quiet "$CHART"
  helm lint --strict --quiet "$CHART" --values "$GOLDENS/everything.values.yaml"
}

# Mistakes that values.schema.json must refuse, each with the key that the message must name.
schema() {
  local setting key
  need_helm
  while read -r setting key; do
    if helm template warren "$CHART" --set "$setting" >"$OUT/schema" 2>&1; then
      echo "--set $setting is not refused"
      return 1
    fi
    grep -q -- "$key" "$OUT/schema" || { echo "--set $setting is refused without a word of $key:"; cat "$OUT/schema"; return 1; }
  done <<'MISTAKES'
replica=2 replica
replicas=two replicas
image.repository=example/warren:1.0 repository
image.digest=abc digest
image.pullPolicy=Sometimes pullPolicy
logging.format=xml format
watchNamespace=A_B watchNamespace
resources.requests.memory=lots memory
serviceMonitor.interval=often interval
extraArgs[0]=operator extraArgs
MISTAKES
}

# What the chart renders. Of the CRDs only the head is kept: the rest is compared by `crds`.
render() { # NAME
  local values=()
  [ ! -f "$GOLDENS/$1.values.yaml" ] || values=(--values "$GOLDENS/$1.values.yaml")
  helm template warren "$CHART" --namespace warren-system "${values[@]}" | awk '
    /^---/ { crd = 0; body = 0 }
    /^kind: CustomResourceDefinition/ { crd = 1 }
    crd && /^spec:/ { print "spec: {} # left out here: it is that of crds/"; body = 1 }
    !body'
}

golden_names() { find "$GOLDENS" -name '*.yaml' ! -name '*.values.yaml' -printf '%f\n' | sed 's/\.yaml$//' | sort; }

goldens() {
  local name failed=0
  need_helm
  for name in $(golden_names); do
    render "$name" >"$OUT/$name.yaml"
    diff -u --label "$GOLDENS/$name.yaml" --label "what the chart renders now" "$GOLDENS/$name.yaml" "$OUT/$name.yaml" || failed=1
  done
  ((failed == 0)) || { echo "if that is meant: hack/lint.sh --update, and read git diff"; return 1; }
}

update() {
  local name
  need_helm
  for name in $(golden_names); do render "$name" >"$OUT/$name.yaml" && mv "$OUT/$name.yaml" "$GOLDENS/$name.yaml"; done
  git --no-pager diff --stat -- "$GOLDENS"
}

# The function of that name, in a shell of its own, so that its first failure ends it. Never behind `if`, `||` or `&&`: there
# bash goes on after a failure, whatever is set.
check() { # NAME
  local begin=$SECONDS function=$1
  [ "$1" != helm ] || function=lint_helm # for `helm` is the program here
  set +e
  (set -e; "$function") >"$OUT/log" 2>&1 3>"$OUT/notes" </dev/null
  local status=$?
  set -e
  if ((status == 0)); then printf 'ok      %-8s %3d s\n' "$1" $((SECONDS - begin)); else printf 'FAILED  %-8s %3d s\n' "$1" $((SECONDS - begin)); fi
  sed 's/^/        /' "$OUT/notes"
  ((status == 0)) || { FAILURES=$((FAILURES + 1)); tail -n 60 "$OUT/log" | sed 's/^/        | /'; }
}

main() {
  local name
  [ "${1:-}" != --update ] || { update; return; }
  (($#)) || set -- "${CHECKS[@]}"
  for name in "$@"; do
    [[ " ${CHECKS[*]} " == *" $name "* ]] || die "no such check: $name (one of: ${CHECKS[*]})"
    check "$name"
  done
  ((FAILURES == 0))
}

main "$@"

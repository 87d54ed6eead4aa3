#!/usr/bin/env bash
# Feeds what comes from outside to the code that reads it, in ways that nobody thought of, and keeps the inputs that
# reach new code: fuzz/corpus is committed, so that each run begins where the last one ended.
#
#   fuzz.sh [SECONDS]            all targets, 300 s each
#   fuzz.sh SECONDS TARGET…      some of them, by the names of fuzz/fuzz_targets
#
# A finding is a file in fuzz/artifacts; the output says how to run it again. Needs the nightly toolchain.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CARGO_FUZZ_VERSION=0.13.2
CORPUS_LIMIT=204800 # bytes, for all targets
cd "$HACK/.."
seconds=${1:-300}
shift || true
if (($# == 0)); then
  mapfile -t targets < <(find fuzz/fuzz_targets -name '*.rs' -printf '%f\n' | sed 's/\.rs$//' | sort)
  set -- "${targets[@]}"
fi

rustup toolchain list | grep -q '^nightly' || die "fuzzing needs a nightly toolchain: rustup toolchain install nightly"
TOOL=$TOOLS/cargo-fuzz-$CARGO_FUZZ_VERSION/bin/cargo-fuzz
[ -x "$TOOL" ] || run_logged "building cargo-fuzz" "$WARREN_CACHE/log/cargo-fuzz.log" \
  cargo install --locked --quiet cargo-fuzz --version "$CARGO_FUZZ_VERSION" --root "$TOOLS/cargo-fuzz-$CARGO_FUZZ_VERSION"

# The crate has no unsafe code of its own, so the address sanitizer would find little, and would double the build.
fuzz() { RUSTUP_TOOLCHAIN=nightly "$TOOL" "$1" --sanitizer none "${@:2}"; }

for target in "$@"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  step "$target: $seconds s, from $(find "$corpus" -type f | wc -l) inputs"
  fuzz run "$target" "$corpus" -- -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1
  fuzz cmin "$target" "$corpus"
done

size=$(find fuzz/corpus -type f -printf '%s\n' | awk '{ all += $1 } END { print all + 0 }')
((size <= CORPUS_LIMIT)) || die "fuzz/corpus holds $size bytes, more than $CORPUS_LIMIT: remove its largest files before it is committed"
step "no finding; fuzz/corpus holds $size bytes"

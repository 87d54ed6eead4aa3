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
CORPUS_LIMIT=32768 # bytes for each target: what is committed shall stay small,
LONGEST_KEPT=1024  # and in few files
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

minimise() { # TARGET: few inputs that reach much; of those that cover all there is to reach, the larger ones reach more each
  local corpus=fuzz/corpus/$1 few
  few=$(mktemp -d)
  fuzz run "$1" "$few" "$corpus" -- -set_cover_merge=1
  find "$few" -type f -printf '%s %p\n' | sort -rn |
    awk -v limit="$CORPUS_LIMIT" -v longest="$LONGEST_KEPT" '$1 > longest || (all += $1) > limit { print $2 }' | xargs -r rm -f
  rm -rf "$corpus"
  mv "$few" "$corpus"
  chmod 755 "$corpus"
}

for target in "$@"; do
  corpus=fuzz/corpus/$target
  mkdir -p "$corpus"
  step "$target: $seconds s, from $(find "$corpus" -type f | wc -l) inputs"
  fuzz run "$target" "$corpus" -- -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1
  minimise "$target"
done
step "no finding"

# Warren's own image: one static binary, certificate authorities, a user. To be sourced by images.sh.
# shellcheck shell=bash

WARREN_LIMIT_MB=40

warren_image() {
  local binary version reference sum
  if [ "$KIND" = existing ]; then # it pulls what it runs; only its owner knows from where
    info "this cluster pulls its images: WARREN_IMAGE names Warren's, else the chart's default is pulled"
    tell_warren_image "${WARREN_IMAGE:-}"
    return
  fi
  binary=$(warren_binary) || exit 1
  ! readelf -lW "$binary" | grep -q INTERP || die "$binary is not statically linked"
  [ "${WARREN_PROFILE:-release}" = dev ] || (($(stat -c %s "$binary") <= WARREN_LIMIT_MB << 20)) ||
    die "$binary has $(($(stat -c %s "$binary") >> 20)) MB, more than the $WARREN_LIMIT_MB MB that the image may have"
  version=$(awk -F'"' '/^version = /{print $2; exit}' "$HACK/../Cargo.toml" 2>/dev/null || echo 0.0.0)
  sum=$(sha256sum <"$binary" | cut -c1-12)
  reference=localhost/warren:$version-$sum
  if [ "$KIND" = kind ]; then
    warren_into_kind "$reference" "$binary"
  else
    ensure_image warren "$(key "$reference" "$(declare -f warren_recipe warren_files)")" "$reference" warren_recipe "$binary"
  fi
  tell_warren_image "$reference"
}

tell_warren_image() { # REFERENCE
  mkdir -p "$NODE_FILES"
  echo "$1" >"$NODE_FILES/warren-image"
  echo "$1"
}

warren_binary() { # builds it and prints its path; a dev build is stripped, for it has 10 times the size
  local profile=${WARREN_PROFILE:-release} target folder
  [ -z "${WARREN_BINARY:-}" ] || { realpath "$WARREN_BINARY"; return; }
  target=$(uname -m)-unknown-linux-gnu
  step "Building Warren ($profile, static)"
  (cd "$HACK/.." && RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --profile "$profile" --package trino-warren --bin warren --target "$target" >&2) 9>&- || die "Warren does not build; above: why"
  folder=$(cargo metadata --manifest-path "$HACK/../Cargo.toml" --locked --no-deps --format-version 1 | jq -r .target_directory)/$target
  [ "$profile" = dev ] || { echo "$folder/$profile/warren"; return; }
  strip -o "$folder/debug/warren-stripped" "$folder/debug/warren"
  echo "$folder/debug/warren-stripped"
}

warren_files() { # BINARY FOLDER
  mkdir -p "$2/etc/ssl/certs" "$2/tmp"
  install -m 755 "$1" "$2/warren"
  cp /etc/ssl/certs/ca-certificates.crt "$2/etc/ssl/certs/"
  echo 'nonroot:x:65532:65532::/:/sbin/nologin' >"$2/etc/passwd"
  echo 'nonroot:x:65532:' >"$2/etc/group"
  echo 'hosts: files dns' >"$2/etc/nsswitch.conf"
  chmod 1777 "$2/tmp"
}

warren_recipe() { # REFERENCE BINARY
  local dir container
  dir=$(mktemp -d)
  chmod 755 "$dir"
  warren_files "$2" "$dir"
  container=$(build from scratch)
  build copy -q "$container" "$dir" / >/dev/null
  build config --user 65532:65532 --entrypoint '["/warren"]' --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$container"
  build commit -q --rm "$container" "$1" >/dev/null
  rm -r "$dir"
}

warren_into_kind() { # REFERENCE BINARY: docker alone, since kind needs it anyway
  local dir
  dir=$(mktemp -d)
  warren_files "$2" "$dir"
  tar -C "$dir" --owner=0 --group=0 -c . | docker import -c 'USER 65532:65532' -c 'ENTRYPOINT ["/warren"]' \
    -c 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' - "$1" >/dev/null
  rm -r "$dir"
  kind load docker-image --name warren "$1" >&2
}

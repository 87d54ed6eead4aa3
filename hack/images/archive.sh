# Building an image with buildah into an archive, and loading an archive into the local node. To be sourced by
# images.sh, under its lock.
# shellcheck shell=bash

IMAGES=$WARREN_CACHE/images

# A storage of our own: whatever an interrupted build left in it can be thrown away without asking.
build() { command buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" --log-level error "$@"; }

key() { # FILE-OR-WORD…: 12 characters that change whenever one of the files' content or the words does
  local part
  for part in "$@"; do if [ -f "$part" ]; then sha256sum <"$part"; else echo "$part"; fi; done | sha256sum | cut -c1-12
}

ensure_image() { # ARCHIVE_NAME REFERENCE RECIPE ARGUMENT…: RECIPE gets the reference and builds that into the storage
  local archive=$IMAGES/$1.tar reference=$2
  shift 2
  if [ ! -s "$archive" ]; then
    step "Image $reference"
    "$HACK/tools.sh" packages 9>&-
    build rm --all >/dev/null
    "$1" "$reference" "${@:2}"
    rm -f "$archive.new"
    build push -q "$reference" "docker-archive:$archive.new:$reference" >/dev/null
    build rmi -f "$reference" >/dev/null
    mv "$archive.new" "$archive"
  fi
  load "$archive" "$reference"
}

load() { # ARCHIVE REFERENCE: a mark below the node's folder tells what its containerd has
  local mark
  mark=$NODE_RUN/images/$(basename "$1")
  [ "$KIND" = node ] || { info "$2 is in $1"; return; }
  [ -S "$CONTAINERD" ] || return 0
  if [ -e "$mark" ] && [ "$(ctr_images ls -q "name==$2")" = "$2" ]; then return; fi
  wait_for "containerd" 30 ctr_images ls -q
  info "loading $2"
  ctr_images import --digests=false "$1" >/dev/null
  mkdir -p "$(dirname "$mark")"
  touch "$mark"
}

ctr_images() { ctr -a "$CONTAINERD" -n k8s.io images "$@"; }

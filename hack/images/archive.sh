# Building an image with buildah into an archive, and loading an archive into the local node. To be sourced by
# images.sh.
# shellcheck shell=bash

IMAGES=$WARREN_CACHE/images

# A storage of our own: whatever an interrupted build left in it can be thrown away without asking.
build() { command buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" --log-level error "$@"; }

key() { printf '%s\n' "$@" | sha256sum | cut -c1-12; } # WORD…: changes with any of them

archive() { echo "$IMAGES/$1-$2.tar"; } # NAME KEY

ensure_image() { # NAME KEY REFERENCE RECIPE ARGUMENT…: RECIPE gets the reference and builds that into the storage
  local file
  file=$(archive "$1" "$2")
  [ -s "$file" ] || build_archive "$file" "$1" "${@:3}"
  load "$file" "$3"
}

build_archive() { # FILE NAME REFERENCE RECIPE ARGUMENT…: one at a time; what is there need not wait for it
  local file=$1 name=$2 reference=$3
  lock "$IMAGES/.lock" images.sh
  if [ ! -s "$file" ]; then
    step "Image $reference"
    "$HACK/tools.sh" packages 9>&-
    remove_unfinished
    "$4" "$reference" "${@:5}"
    build push -q "$reference" "docker-archive:$file.new:$reference" >/dev/null
    build rmi -f "$reference" >/dev/null
    mv "$file.new" "$file"
    drop_old_archives "$name"
  fi
  exec 9>&- # unlocked
}

remove_unfinished() { # what an interrupted build left: debootstrap mounts /proc in the tree that it fills
  local path
  awk -v a="$IMAGES/storage/overlay/" 'index($5, a) == 1 && $5 ~ "/merged/" {print $5}' /proc/self/mountinfo | tac |
    while read -r path; do umount "$path"; done
  build rm --all >/dev/null
  rm -f "$IMAGES"/*.new
}

drop_old_archives() { # NAME: two stay, for work on two states of the tree at a time
  find "$IMAGES" -maxdepth 1 -name "$1-????????????.tar" -printf '%T@ %p\n' | sort -rn | sed '1,2d; s/^[^ ]* //' | xargs -r rm -f
}

load() { # ARCHIVE REFERENCE: a mark below the node's folder tells from which archive its containerd has the reference
  local mark name
  mark=$NODE_RUN/images/${2//\//_} name=$(basename "$1")
  [ "$KIND" = node ] || { info "$2 is in $1"; return; }
  [ -S "$CONTAINERD" ] || return 0
  if [ "$(cat "$mark" 2>/dev/null)" = "$name" ] && [ "$(ctr_images ls -q "name==$2")" = "$2" ]; then return; fi
  wait_for "containerd" 30 ctr_images ls -q
  info "loading $2"
  ctr_images import --digests=false "$1" >/dev/null
  mkdir -p "$(dirname "$mark")"
  echo "$name" >"$mark"
}

ctr_images() { ctr -a "$CONTAINERD" -n k8s.io images "$@"; }

# The images of the local node's own pods. To be sourced by images.sh.
# shellcheck shell=bash

base_images() {
  case $KIND in kind | existing) info "base: the cluster ($KIND) brings its own"; return ;; esac
  "$HACK/tools.sh" coredns metrics-server 9>&-
  local name version
  ensure_image pause "$(key "$(declare -f pause_recipe program_recipe)")" localhost/pause:1 pause_recipe
  for name in coredns metrics-server; do
    case $name in coredns) version=$COREDNS_VERSION ;; *) version=$METRICS_SERVER_VERSION ;; esac
    ensure_image "$name" "$(key "$version" "$(declare -f program_recipe)")" "localhost/$name:$version" \
      program_recipe "$TOOLS/$name-$version/$name"
  done
}

program_recipe() { # REFERENCE FILE: one static program
  local container
  container=$(build from scratch)
  build copy -q "$container" "$2" / >/dev/null
  build config --entrypoint "[\"/$(basename "$2")\"]" "$container"
  build commit -q --rm "$container" "$1" >/dev/null
}

pause_recipe() { # REFERENCE: holds a pod's namespaces; as its first process it must also reap orphans
  local dir
  dir=$(mktemp -d)
  cat >"$dir/pause.c" <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) {
  signal(SIGTERM, stop);
  signal(SIGINT, stop);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
C
  gcc -static -O2 -o "$dir/pause" "$dir/pause.c"
  program_recipe "$1" "$dir/pause"
  rm -r "$dir"
}

# What the end-to-end tests need beside Trino: a source, PostgreSQL as Debian has it; an identity provider, OPA and an S3 server;
# a plugin in an image of its own, out of the server as Maven has it; cert-manager. To be sourced by images.sh.
# shellcheck shell=bash

POSTGRES_IMAGE=localhost/postgres:debian

postgres_image() {
  ensure_image postgres "$(key "$(declare -f postgres_recipe postgres_base)" "$(cat "$HACK/images/postgres/serve")")" "$POSTGRES_IMAGE" postgres_recipe
}

postgres_recipe() { # REFERENCE
  run_logged "Debian and PostgreSQL" "$WARREN_CACHE/log/postgres.log" postgres_base "$1"
}

postgres_base() { # REFERENCE
  local root container suite
  container=$(build from scratch)
  root=$(build mount "$container")
  # shellcheck source=/dev/null
  suite=$(source /etc/os-release && echo "$VERSION_CODENAME") # the host's: its archive keys are here
  debootstrap --variant=minbase --include=postgresql "$suite" "$root"
  rm -rf "$root"/var/{cache,lib}/apt/* "$root"/var/log/* "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/lib/postgresql/*
  echo 'database:x:1000:1000::/data:/bin/bash' >>"$root/etc/passwd"
  install -m 755 "$HACK/images/postgres/serve" "$root/usr/local/bin/serve"
  build umount "$container"
  build config --user 1000:1000 --env PGDATA=/data/pg --port 5432 --cmd '["/usr/local/bin/serve"]' "$container"
  build commit -q --rm "$container" "$1"
}

services_image() { # /dex, /opa and /gofakes3, static programs
  "$HACK/tools.sh" dex opa gofakes3 9>&-
  ensure_image services "$(key "$DEX_VERSION" "$OPA_VERSION" "$GOFAKES3_VERSION" "$(declare -f services_recipe)")" localhost/services:static services_recipe
}

services_recipe() { # REFERENCE
  local container
  container=$(build from scratch)
  build copy -q "$container" "$TOOLS/dex-static-$DEX_VERSION/dex" "$TOOLS/opa-$OPA_VERSION/opa" \
    "$TOOLS/gofakes3-$GOFAKES3_VERSION/gofakes3" / >/dev/null
  build config --user 1000:1000 "$container"
  build commit -q --rm "$container" "$1" >/dev/null
}

cert_manager_images() {
  local name
  "$HACK/tools.sh" cert-manager 9>&-
  for name in controller webhook cainjector; do
    ensure_image "cert-manager-$name" "$(key "$CERT_MANAGER_VERSION" "$(declare -f program_recipe)")" \
      "localhost/cert-manager-$name:$CERT_MANAGER_VERSION" program_recipe "$TOOLS/cert-manager-$CERT_MANAGER_VERSION/$name"
  done
}

plugin_image() { # NAME VERSION: localhost/trino-plugin-NAME:VERSION, the plugin's files in /plugin
  ensure_image "plugin-$1-$2" "$(key "$(declare -f plugin_recipe plugin_files download_server)")" "localhost/trino-plugin-$1:$2" plugin_recipe "$1" "$2"
}

plugin_recipe() { # REFERENCE NAME VERSION
  run_logged "downloading Trino $3 for its plugin $2" "$WARREN_CACHE/log/plugin-$2.log" plugin_files "$@"
}

plugin_files() { # REFERENCE NAME VERSION: with a `cp`, by which it is copied to where Trino looks for it
  local work=$IMAGES/work container
  rm -rf "$work"
  mkdir -p "$work"
  cd "$work"
  download_server "$3" "$work"
  apt-get -o APT::Sandbox::User=root download -q busybox-static
  dpkg-deb -x busybox-static_*.deb "$work/busybox"
  container=$(build from scratch)
  build copy -q "$container" "$work/server/plugin/$2" /plugin
  build copy -q "$container" "$work/busybox/bin/busybox" /bin/cp
  build config --env PATH=/bin --user 1000:1000 "$container"
  build commit -q --rm "$container" "$1"
  rm -rf "$work"
}

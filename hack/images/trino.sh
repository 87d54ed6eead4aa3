# Trino: the official image, or, when it cannot be pulled, one in its layout: the user 1000, /usr/lib/trino, /etc/trino,
# /data/trino, run-trino and health-check, the client as /usr/bin/trino. That is built from Maven's server tarball with
# the few plugins that the tests use, on a Debian with a trimmed Java. To be sourced by images.sh.
# shellcheck shell=bash

# The PostgreSQL connector, a plugin of its own in the tests, wants the types of geospatial.
TRINO_PLUGINS="tpch tpcds memory blackhole jmx http-event-listener password-authenticators resource-group-managers
  spooling-filesystem exchange-filesystem geospatial"
JAVA_MODULES=java.se,jdk.unsupported,jdk.incubator.vector,jdk.management,jdk.management.agent,jdk.crypto.ec,jdk.zipfs
JAVA_MODULES+=,jdk.attach,jdk.jcmd,jdk.naming.dns,jdk.security.auth,jdk.jfr,jdk.charsets

trino_image() { # VERSION
  local reference=docker.io/trinodb/trino:$1 own recipe=trino_recipe
  case $KIND in kind | existing) info "$reference: the cluster ($KIND) pulls it by itself"; return ;; esac
  own=$(key "$1" "$TRINO_PLUGINS" "$TRINO_CLI_VERSION" "$(base_key)" "$(declare -f trino_server download_server commit_trino)" \
    "$(cd "$HACK/images" && find trino -type f | sort | xargs tail -n +1)")
  if [ -s "$(archive "trino-$1" official)" ]; then
    recipe=pull_recipe
  elif [ ! -s "$(archive "trino-$1" "$own")" ] && can_pull "$reference"; then
    recipe=pull_recipe
  fi
  case $recipe in
    pull_recipe) ensure_image "trino-$1" official "$reference" pull_recipe ;;
    *) ensure_image "trino-$1" "$own" "$reference" trino_recipe "$1" ;;
  esac
}

base_key() { key "$JAVA_MODULES" "$(declare -f trino_base)"; }

can_pull() { # REFERENCE: asked once per run, for a few seconds
  "$HACK/tools.sh" packages 9>&-
  if [ -z "${CAN_PULL:-}" ]; then
    CAN_PULL=no
    timeout 6 buildah --root "$IMAGES/storage" --runroot "$IMAGES/run" manifest inspect "docker://$1" &>/dev/null && CAN_PULL=yes
    [ $CAN_PULL = yes ] || info "the official image cannot be pulled from here: building one like it"
  fi
  [ "$CAN_PULL" = yes ]
}

pull_recipe() { run_logged "pulling $1" "$WARREN_CACHE/log/pull-trino.log" build pull "docker://$1"; } # REFERENCE

trino_recipe() { # REFERENCE VERSION
  local work=$IMAGES/work base
  "$HACK/tools.sh" trino 9>&-
  rm -rf "$work"
  mkdir -p "$work"
  base=localhost/trino-base:$(base_key)
  build inspect --type image "$base" &>/dev/null || run_logged "Debian and Java, shared by all versions" \
    "$WARREN_CACHE/log/trino-base.log" trino_base "$base"
  drop_old_bases "$base"
  run_logged "downloading and unpacking trino-server $2" "$WARREN_CACHE/log/trino-$2.log" trino_server "$2" "$work"
  run_logged "writing the image" "$WARREN_CACHE/log/trino-image-$2.log" commit_trino "$1" "$base" "$work"
  rm -rf "$work"
}

trino_base() { # REFERENCE: written where the container is mounted, for `copy` would give every file to root
  local root container suite
  container=$(build from scratch)
  root=$(build mount "$container")
  # shellcheck source=/dev/null
  suite=$(source /etc/os-release && echo "$VERSION_CODENAME") # the host's: its archive keys are here
  debootstrap --variant=minbase --include=ca-certificates,curl,less "$suite" "$root"
  rm -rf "$root"/var/{cache,lib}/apt/* "$root"/var/log/* "$root"/usr/share/{doc,man,locale,info}/*
  "$(java_home)/bin/jlink" --strip-debug --no-header-files --no-man-pages --generate-cds-archive --output "$root/usr/lib/jvm/jre" \
    --add-modules "$JAVA_MODULES"
  echo 'trino:x:1000:1000::/home/trino:/bin/bash' >>"$root/etc/passwd"
  echo 'trino:x:1000:' >>"$root/etc/group"
  mkdir -p "$root/home/trino" "$root/data/trino"
  chown -R 1000:1000 "$root/home/trino" "$root/data"
  build umount "$container"
  build commit -q --rm "$container" "$1"
}

drop_old_bases() { # REFERENCE that stays
  build images --format '{{.Name}}:{{.Tag}}' | grep '^localhost/trino-base:' | grep -vxF "$1" |
    while read -r old; do build rmi -f "$old" >/dev/null; done || true
}

trino_server() { # VERSION FOLDER
  local server=$2/server plugin
  download_server "$1" "$2"
  for plugin in "$server"/plugin/*; do
    [[ " ${TRINO_PLUGINS//$'\n'/ } " == *" $(basename "$plugin") "* ]] || rm -rf "$plugin"
  done
  cp "$HACK"/images/trino/bin/* "$server/bin/"
  chmod 755 "$server"/bin/{run-trino,health-check}
}

# All of a server, to FOLDER/server. Plugins share their jars by hard links across folders, so none can be unpacked alone.
download_server() { # VERSION FOLDER: a repository of its own, so that 1 GB does not stay in the user's
  mvn -B -q -Dmaven.repo.local="$2/m2" dependency:get -Dtransitive=false -Dartifact="io.trino:trino-server:$1:tar.gz"
  mkdir "$2/server"
  tar xzf "$2/m2/io/trino/trino-server/$1/trino-server-$1.tar.gz" -C "$2/server" --strip-components=1
  rm -rf "$2/m2"
}

commit_trino() { # REFERENCE BASE FOLDER
  local container
  container=$(build from --pull-never --ulimit nofile=8192:8192 "$2")
  build copy -q --chown 1000:1000 "$container" "$3/server" /usr/lib/trino
  build copy -q --chown 1000:1000 "$container" "$HACK/images/trino/etc" /etc/trino
  build copy -q --chmod 755 "$container" "$TOOLS/trino-cli-$TRINO_CLI_VERSION/trino-cli.jar" /usr/bin/trino # starts itself
  build config --env JAVA_HOME=/usr/lib/jvm/jre --env PATH=/usr/lib/jvm/jre/bin:/usr/local/bin:/usr/bin:/bin \
    --env LANG=C.UTF-8 --env CATALOG_MANAGEMENT=static --user 1000:1000 --port 8080 \
    --cmd '["/usr/lib/trino/bin/run-trino"]' "$container"
  build run --isolation chroot "$container" -- timeout 180 bash -s -- $((20000 + RANDOM % 10000)) <"$HACK/images/trino/classes.sh" ||
    echo "There is no archive of classes: starts take longer."
  build commit -q --rm "$container" "$1"
}

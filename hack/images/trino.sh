# Trino in the layout of the official image: the user 1000, /usr/lib/trino, /etc/trino, /data/trino, run-trino and
# health-check. Built from Maven's server tarball with the few plugins that the tests use, on a Debian with a trimmed
# Java, when the official one cannot be pulled. To be sourced by images.sh.
# shellcheck shell=bash

TRINO_PLUGINS="tpch tpcds memory blackhole jmx http-event-listener password-authenticators resource-group-managers
  spooling-filesystem exchange-filesystem"
JAVA_MODULES=java.se,jdk.unsupported,jdk.incubator.vector,jdk.management,jdk.management.agent,jdk.crypto.ec,jdk.zipfs
JAVA_MODULES+=,jdk.attach,jdk.jcmd,jdk.naming.dns,jdk.security.auth,jdk.jfr,jdk.charsets

trino_image() { # VERSION
  local reference=docker.io/trinodb/trino:$1 archive=trino-$1-official
  case $KIND in kind | existing) info "$reference: a $KIND cluster pulls it by itself"; return ;; esac
  if [ ! -s "$IMAGES/$archive.tar" ]; then
    archive=trino-$1-$(key "$HACK/images/trino.sh" "$(find "$HACK/images/trino" -type f | sort | xargs cat)")
    if [ ! -s "$IMAGES/$archive.tar" ] && can_pull "$reference"; then archive=trino-$1-official; fi
  fi
  case $archive in
    *-official) ensure_image "$archive" "$reference" pull_recipe ;;
    *) ensure_image "$archive" "$reference" trino_recipe "$1" ;;
  esac
}

can_pull() { # REFERENCE: asked once per run, for a few seconds
  "$HACK/tools.sh" packages 9>&-
  if [ -z "${CAN_PULL:-}" ]; then
    CAN_PULL=no
    timeout 6 buildah manifest inspect "docker://$1" &>/dev/null && CAN_PULL=yes
    [ $CAN_PULL = yes ] || info "the official image cannot be pulled from here: building one like it"
  fi
  [ "$CAN_PULL" = yes ]
}

pull_recipe() { run_logged "pulling $1" "$WARREN_CACHE/log/pull-trino.log" build pull "docker://$1"; } # REFERENCE

trino_recipe() { # REFERENCE VERSION
  local work=$IMAGES/work base container
  rm -rf "$work"
  mkdir -p "$work"
  base=localhost/trino-base:$(key "$HACK/images/trino.sh")
  build inspect --type image "$base" &>/dev/null || run_logged "Debian and Java, shared by all versions" \
    "$WARREN_CACHE/log/trino-base.log" trino_base "$base" "$work"
  run_logged "downloading and unpacking trino-server $2" "$WARREN_CACHE/log/trino-$2.log" trino_server "$2" "$work"
  run_logged "writing the image" "$WARREN_CACHE/log/trino-image-$2.log" commit_trino "$1" "$base" "$work"
  rm -rf "$work"
}

trino_base() { # REFERENCE FOLDER
  local root=$2/root suite
  # shellcheck source=/dev/null
  suite=$(source /etc/os-release && echo "$VERSION_CODENAME") # the host's: its archive keys are here
  debootstrap --variant=minbase --include=ca-certificates,curl,less "$suite" "$root"
  rm -rf "$root"/var/{cache,lib}/apt/* "$root"/var/log/* "$root"/usr/share/{doc,man,locale,info}/*
  "$(java_home)/bin/jlink" --strip-debug --no-header-files --no-man-pages --output "$root/usr/lib/jvm/jre" \
    --add-modules "$JAVA_MODULES"
  echo 'trino:x:1000:1000::/home/trino:/bin/bash' >>"$root/etc/passwd"
  echo 'trino:x:1000:' >>"$root/etc/group"
  mkdir -p "$root/home/trino" "$root/data/trino" "$root/etc/trino"
  chown -R 1000:1000 "$root/home/trino" "$root/data" "$root/etc/trino"
  local container
  container=$(build from scratch)
  build copy -q "$container" "$root" /
  build commit -q --rm "$container" "$1"
  rm -rf "$root"
}

trino_server() { # VERSION FOLDER: a repository of its own, so that 1 GB does not stay in the user's
  local server=$2/server plugin
  mvn -B -q -Dmaven.repo.local="$2/m2" dependency:get -Dtransitive=false -Dartifact="io.trino:trino-server:$1:tar.gz"
  mkdir "$server"
  # Plugins share their jars by hard links across folders: unpack all of them, then drop what is not wanted.
  tar xzf "$2/m2/io/trino/trino-server/$1/trino-server-$1.tar.gz" -C "$server" --strip-components=1
  rm -rf "$2/m2"
  for plugin in "$server"/plugin/*; do
    [[ " ${TRINO_PLUGINS//$'\n'/ } " == *" $(basename "$plugin") "* ]] || rm -rf "$plugin"
  done
  cp "$HACK"/images/trino/bin/* "$server/bin/"
  chmod 755 "$server"/bin/{run-trino,health-check}
}

commit_trino() { # REFERENCE BASE FOLDER
  local container
  container=$(build from --pull-never "$2")
  build copy -q --chown 1000:1000 "$container" "$3/server" /usr/lib/trino
  build copy -q --chown 1000:1000 "$container" "$HACK/images/trino/etc" /etc/trino
  build config --env JAVA_HOME=/usr/lib/jvm/jre --env PATH=/usr/lib/jvm/jre/bin:/usr/local/bin:/usr/bin:/bin \
    --env LANG=C.UTF-8 --env CATALOG_MANAGEMENT=static --user 1000:1000 --port 8080 \
    --cmd '["/usr/lib/trino/bin/run-trino"]' "$container"
  build commit -q --rm "$container" "$1"
}

# What hack/clients.sh runs: Trino's server, the clients, a local S3 server. Each is kept in the cache of tools, whole or
# not at all. To be sourced.
# shellcheck shell=bash
# shellcheck source=../images/trino.sh
source "$HACK/images/trino.sh" # for trino_server and the plugins that are kept

SERVER=$TOOLS/trino-server-$TRINO_CLI_VERSION
TRINO_CLI=$TOOLS/trino-cli-$TRINO_CLI_VERSION/trino-cli.jar
JDBC=$TOOLS/trino-jdbc-$TRINO_JDBC_VERSION/trino-jdbc-$TRINO_JDBC_VERSION.jar
VENV=$TOOLS/clients-python-$TRINO_PYTHON_VERSION-$SQLALCHEMY_VERSION-$MOTO_VERSION
PYTHON=$VENV/bin/python

prepare_programs() { # LOGS
  local log=$1
  JAVA=$(java_home)/bin/java
  "$HACK/tools.sh" packages trino
  [ -d "$SERVER" ] || prepare_server "$log"
  [ -d "${JDBC%/*}" ] || run_logged "downloading trino-jdbc $TRINO_JDBC_VERSION" "$log/jdbc.log" download_jdbc
  [ -e "$VENV/complete" ] || run_logged "the Python client, SQLAlchemy and an S3 server" "$log/python.log" make_venv
  GO_CLIENT=$log/go-client
  command -v go >/dev/null || die "the Go client needs Go 1.26 or newer"
  run_logged "building the Go client's program" "$log/go.log" env -C "$CASES/go" CGO_ENABLED=0 go build -o "$(realpath "$GO_CLIENT")" .
  WARREN=${WARREN_BINARY:-$HACK/../target/debug/warren}
  [ -n "${WARREN_BINARY:-}" ] || run_logged "building warren" "$log/cargo.log" cargo test --locked --quiet --no-run --test proxy
  [ -x "$WARREN" ] || die "there is no $WARREN"
}

# An image of Trino in the cache holds the server already; else it comes as it does for that image.
prepare_server() { # LOGS
  local work=$TOOLS/.build-trino-server archive
  rm -rf "$work"
  mkdir -p "$work"
  mkdir -p "$WARREN_CACHE/images" # on a new machine no image was built yet
  archive=$(find "$WARREN_CACHE/images" -maxdepth 1 -name "trino-$TRINO_CLI_VERSION-*.tar" | sort | tail -n 1)
  if [ -n "$archive" ]; then
    run_logged "unpacking Trino's server from $(basename "$archive")" "$1/server.log" unpack_server "$archive" "$work"
  else
    run_logged "downloading and unpacking trino-server $TRINO_CLI_VERSION" "$1/server.log" trino_server "$TRINO_CLI_VERSION" "$work"
  fi
  mv "$work/server" "$SERVER"
  rm -rf "$work"
}

unpack_server() { # ARCHIVE FOLDER: all layers that have a part of it, in their order
  local layer plugin
  mkdir "$2/archive" "$2/server"
  tar xf "$1" -C "$2/archive"
  for layer in $(jq -r '.[0].Layers[]' "$2/archive/manifest.json"); do
    ! tar tf "$2/archive/$layer" usr/lib/trino &>/dev/null ||
      tar xf "$2/archive/$layer" -C "$2/server" --strip-components=3 usr/lib/trino
  done
  [ -x "$2/server/bin/launcher" ] || die "$1 holds no usr/lib/trino"
  for plugin in "$2"/server/plugin/*; do # an official image has all of them, which start slowly
    [[ " ${TRINO_PLUGINS//$'\n'/ } " == *" $(basename "$plugin") "* ]] || rm -rf "$plugin"
  done
}

download_jdbc() {
  local out=$TOOLS/.build-trino-jdbc
  rm -rf "$out"
  mvn -B -q dependency:copy -Dartifact="io.trino:trino-jdbc:$TRINO_JDBC_VERSION" -DoutputDirectory="$out"
  mv "$out" "${JDBC%/*}"
}

make_venv() { # its files name its folder, so it is built in place and marked when it is whole
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$PYTHON" -m pip install --quiet --disable-pip-version-check "trino[sqlalchemy]==$TRINO_PYTHON_VERSION" \
    "SQLAlchemy==$SQLALCHEMY_VERSION" "moto[s3,server]==$MOTO_VERSION"
  touch "$VENV/complete"
}

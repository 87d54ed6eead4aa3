#!/usr/bin/env bash
# Builds the images that the local node and the tests need, from package registries and this repository alone, and
# loads them into the cluster that WARREN_CLUSTER_KIND names (see cluster.sh; unset: the local node when it runs, else
# they are only built). An archive's name carries a key of its content, so nothing is built or loaded twice.
#
#   images.sh base                  pause, CoreDNS, metrics-server: what the local node itself runs
#   images.sh trino VERSION…        Trino: the official image when it can be pulled, else one with its layout
#   images.sh warren                Warren from this tree; its name is the last line of the output, and in
#                                   $WARREN_CACHE/node/warren-image. WARREN_PROFILE=dev builds the dev profile,
#                                   WARREN_BINARY=FILE takes a ready static binary
#   images.sh postgres              PostgreSQL, a source for the tests: localhost/postgres:debian
#   images.sh services              dex, OPA and an S3 server, for the tests: localhost/services:static
#   images.sh plugin NAME VERSION   a plugin of Trino by itself: localhost/trino-plugin-NAME:VERSION
#   images.sh cert-manager          cert-manager: localhost/cert-manager-controller and so on
#   images.sh all                   base, Trino in the versions of versions.env, and Warren
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for part in archive base trino warren sources; do
  # shellcheck source=/dev/null
  source "$HACK/images/$part.sh"
done

KIND=${WARREN_CLUSTER_KIND:-}
[ -n "$KIND" ] || [ ! -S "$CONTAINERD" ] || KIND=node

main() {
  local what=${1:-} version
  case $what in
    base) base_images ;;
    trino)
      shift
      (($#)) || die "which Trino? For example: images.sh trino $TRINO_VERSIONS"
      for version in "$@"; do trino_image "$version"; done
      ;;
    warren) warren_image ;;
    postgres) postgres_image ;;
    services) services_image ;;
    plugin) plugin_image "${2:?which plugin?}" "${3:?of which version of Trino?}" ;;
    cert-manager) cert_manager_images ;;
    all)
      "$HACK/images.sh" base
      # shellcheck disable=SC2086 # a list of words
      "$HACK/images.sh" trino $TRINO_VERSIONS
      "$HACK/images.sh" warren
      ;;
    *) die "usage: images.sh base | trino VERSION… | warren | postgres | services | plugin NAME VERSION | cert-manager | all" ;;
  esac
}

main "$@"

# The servers of logins by OAuth2 in hack/clients.sh: dex as the identity provider, coordinators that ask for logins, gateways
# and a balancer in front of them. All of them speak TLS by one certificate. To be sourced.
# shellcheck shell=bash

DEX=$TOOLS/dex-static-$DEX_VERSION/dex

certificates() { # <run>/ca.pem, and for 127.0.0.1 tls.pem, tls.key, and both in tls.both
  local name
  (
    cd "$RUN"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=clients CA" -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=127.0.0.1" -keyout tls.key -out tls.csr
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile <(echo subjectAltName=IP:127.0.0.1) -out tls.pem
    cat tls.key tls.pem >tls.both
  ) >"$RUN/certificates.log" 2>&1 || die "no certificates, log in $RUN/certificates.log"
}

browser() { # what clients open URLs with: it notes them in the file OPENED, and logs in by itself
  mkdir -p "$RUN/bin"
  # shellcheck disable=SC2016 # for the script to expand
  printf '#!/bin/sh\necho "$1" >>"$OPENED"\nexec "%s" "%s" "$1"\n' "$PYTHON" "$CASES/browser.py" >"$RUN/bin/xdg-open"
  chmod +x "$RUN/bin/xdg-open"
}

secure_addresses() { # NAME…: known before anything listens there, for they stand in each other's configuration
  local name ports
  read -ra ports < <(free_ports $#)
  for name; do
    PORT[$name]=${ports[0]} SCHEME[$name]=https
    ports=("${ports[@]:1}")
  done
}

# One user, ann@example.com with the password `password`, and one client, which may be sent back to these addresses only.
provider() { # NAME LIFETIME_OF_TOKENS ADDRESS…
  local name=$1 lifetime=$2
  shift 2
  {
    printf '%s\n' "issuer: $(address "$name")/dex" 'storage: {type: memory}' 'logger: {level: debug}'
    echo "web: {https: \"127.0.0.1:${PORT[$name]}\", tlsCert: $RUN/tls.pem, tlsKey: $RUN/tls.key}"
    echo "expiry: {idTokens: $lifetime, refreshTokens: {reuseInterval: 5s}}"
    # shellcheck disable=SC2016 # a hash of bcrypt
    printf '%s\n' 'oauth2: {skipApprovalScreen: true}' 'enablePasswordDB: true' 'staticPasswords:' \
      '- {email: ann@example.com, username: ann, userID: "1", hash: "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W"}' \
      'staticClients:' '- id: trino' '  name: Trino' '  secret: clients-secret' '  redirectURIs:'
    printf '  - "%s/oauth2/callback"\n' "$@"
  } >"$RUN/$name.yaml"
  launch "$name" "$DEX" serve "$RUN/$name.yaml"
  wait_for "the provider $name" 20 curl -sf --max-time 2 --cacert "$RUN/ca.pem" "$(address "$name")/dex/.well-known/openid-configuration" ||
    { tail -n 20 "$RUN/$name.log" >&2; die "the provider $name did not start"; }
}

# Trino takes logins over TLS only: what a gateway says of its clients counts, and for clients without one there is a second
# address, NAME-tls.
logins() { # NAME PROVIDER SCOPES [PROPERTY=VALUE…]
  local name=$1 provider=$2 scopes=$3
  shift 3
  cat >>"$RUN/$name/etc/config.properties" <<PROPERTIES
http-server.https.enabled=true
http-server.https.port=${PORT[$name-tls]}
http-server.https.keystore.path=$RUN/tls.both
internal-communication.shared-secret=$(head -c 32 /dev/urandom | base64)
http-server.authentication.type=oauth2
web-ui.authentication.type=oauth2
http-server.authentication.oauth2.issuer=$(address "$provider")/dex
http-server.authentication.oauth2.client-id=trino
http-server.authentication.oauth2.client-secret=clients-secret
http-server.authentication.oauth2.scopes=$scopes
http-server.authentication.oauth2.principal-field=email
http-server.authentication.oauth2.user-mapping.pattern=(.*)@.*
oauth2-jwk.http-client.trust-store-path=$RUN/ca.pem
$(printf '%s\n' "$@")
PROPERTIES
  printf '%s\n' io.trino.server.security.oauth2=DEBUG io.trino.server.ui=DEBUG >"$RUN/$name/etc/log.properties"
}

gateway_of_logins() { # NAME EXTERNAL_URL CLUSTER…
  local name=$1
  { echo "externalUrl: $2"; routing_table "${@:3}"; } >"$RUN/$name.yaml"
  start_gateway "$name" $(($# - 2)) --tls-cert "$RUN/tls.pem" --tls-key "$RUN/tls.key"
}

balancer() { # NAME GATEWAY…
  local name=$1 gateway ports=()
  shift
  for gateway in "$@"; do ports+=("${PORT[$gateway]}"); done
  launch "$name" "$PYTHON" "$CASES/balancer.py" "${PORT[$name]}" "${ports[@]}"
}

# The part of hack/etc.sh that is about a coordinator that asks who is there: real servers with the files of the goldens
# cluster-authentication-*, asked directly and through `warren proxy`. To be sourced.
# shellcheck shell=bash

PASSWORD=$(printf '07%.0s' {1..32}) # of Warren's own user in the goldens: 32 bytes of 7
SQL='SELECT name FROM tpch.tiny.region ORDER BY regionkey'

certificates() { # a server's for localhost, one as proxies show it for events, that of a client called cy, and keys that sign tokens: the right one and another
  local name
  (
    cd "$RUN"
    for name in ca clients; do
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" -keyout "$name.key" -out "$name.crt"
    done
    issue server ca "subjectAltName=DNS:localhost,IP:127.0.0.1" localhost
    issue events ca "subjectAltName=DNS:pxg-proxy.trino.svc,DNS:*-events.trino.svc" pxg-proxy
    cat events.key events.crt >events.pem
    issue cy clients "extendedKeyUsage=clientAuth" cy
    issue stranger ca "extendedKeyUsage=clientAuth" cy
    for name in tokens other; do
      openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$name.key"
      openssl pkey -in "$name.key" -pubout -out "$name.pub"
    done
  ) >"$LOGS/openssl.log" 2>&1 || die "no certificates can be made, log in $LOGS/openssl.log"
}

issue() { # NAME CA EXTENSION SUBJECT
  echo "$3" >"$1.ext"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$4" -keyout "$1.key" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.crt"
}

base64url() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }

token() { # KEY EMAIL AUDIENCE: a JSON Web Token for an hour
  local text
  text=$(printf '{"alg":"RS256","typ":"JWT"}' | base64url).
  text+=$(printf '{"iss":"https://id.example.com","aud":"%s","sub":"x","email":"%s","exp":%d}' "$3" "$2" $(($(date +%s) + 3600)) | base64url)
  printf '%s.%s' "$text" "$(printf %s "$text" | openssl dgst -sha256 -sign "$RUN/$1.key" | base64url)"
}

# The rows of $SQL, or its error; of who is not let in, status, challenges and body as they came.
answer() { # URL CURL_OPTION…
  local url=$1 page rows='[]' next status
  shift
  status=$(curl -s --max-time 20 --cacert "$RUN/ca.crt" -o "$RUN/page" -D "$RUN/head" -w '%{http_code}' "$@" --data "$SQL" "$url/v1/statement") ||
    { echo "no answer"; return; }
  if [ "$status" != 200 ]; then
    echo "$status"
    tr -d '\r' <"$RUN/head" | grep -i '^www-authenticate:' | sort
    cat "$RUN/page"
    return
  fi
  page=$(cat "$RUN/page")
  while rows=$(jq -c --argjson rows "$rows" '$rows + (.data // [])' <<<"$page") && next=$(jq -er .nextUri <<<"$page"); do
    page=$(curl -s --max-time 20 --cacert "$RUN/ca.crt" "$@" "$next")
  done
  jq -r --argjson rows "$rows" 'if .error then "error: " + .error.message else ($rows | tostring) end' <<<"$page"
}

same() { # PATTERN CURL_OPTION…: whoever asks is answered the same directly and through the gateway
  local direct through
  direct=$(answer "$DIRECT" "${@:2}") through=$(answer "$THROUGH" "${@:2}")
  printf '%s\n---\n%s\n' "$direct" "$through"
  [ "$direct" = "$through" ] && grep -qE "$1" <<<"$direct"
}

own_answer() { SQL=$1 answer "$DIRECT" -u "${2:-warren}:$PASSWORD" "${@:3}"; } # SQL [USER CURL_OPTION…]
own_page() { curl -s --max-time 10 --cacert "$RUN/ca.crt" -o "$RUN/page" -w '%{http_code}' -u "warren:${2:-$PASSWORD}" "$DIRECT$1"; } # PATH [PASSWORD]
sees_others() { own_page /v1/query && jq -e 'map(select(.session.user == "ann")) | length > 0' "$RUN/page"; }
hashed() { # USER PASSWORD: a line of a password file
  "$PYTHON" -c 'import hashlib, sys
hash = hashlib.pbkdf2_hmac("sha1", sys.argv[2].encode(), bytes(16), 1000, 32)
print(sys.argv[1], 1000, bytes(16).hex(), hash.hex(), sep=":")' "$1" "$2"
}
put() { cat >"$1.new" && mv "$1.new" "$1"; } # FILE
probed() { metrics "$1" | grep "^warren_proxy_health_checks_total{.*check=\"sql\",result=\"$2\"} [1-9]"; } # GATEWAY RESULT
counted() { # GATEWAY
  curl -sf -H 'Authorization: Bearer admin' "http://127.0.0.1:${ADMIN[$1]}/v1/status" | jq -e '.clusters[0].reportedQueries != null'
}
is_up() { # NAME
  curl -sf --max-time 2 --cacert "$RUN/ca.crt" "$DIRECT/v1/info" | jq -e '.starting == false' && return
  kill -0 "${PID[$1]}" 2>/dev/null || exit 1
  return 1
}

# Debian's slapd, unpacked and not installed: nothing of it is to be started on this machine by itself.
prepare_slapd() {
  local work=$TOOLS/.build-slapd
  [ ! -d "$SLAPD" ] || return 0
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  rm -rf "$work"
  mkdir -p "$work/packages"
  # shellcheck disable=SC2046 # a list of words
  (cd "$work/packages" && apt-get download slapd $(apt-cache depends slapd | awk '/Depends: lib/ && !/libc6|libcrypt|libperl/ { print $2 }')) &&
    find "$work/packages" -name '*.deb' -exec dpkg -x {} "$work" \; && rm -r "$work/packages" && mv "$work" "$SLAPD"
}

slapd() { # an LDAP server with lea, who may use Trino, and max, who may not
  local folder=$RUN/slapd name
  PORT[slapd]=$(free_ports 1)
  mkdir -p "$folder"
  {
    printf "include $SLAPD/etc/ldap/schema/%s.schema\n" core cosine inetorgperson
    cat <<END
modulepath $SLAPD/usr/lib/ldap
moduleload back_mdb
pidfile $folder/pid
TLSCACertificateFile $RUN/ca.crt
TLSCertificateFile $RUN/server.crt
TLSCertificateKeyFile $RUN/server.key
database mdb
maxsize 10485760
suffix "dc=example,dc=com"
rootdn "cn=trino,dc=example,dc=com"
rootpw bind-secret
directory $folder
access to * by anonymous auth by * none
END
  } >"$folder/slapd.conf"
  {
    printf 'dn: dc=example,dc=com\nobjectClass: dcObject\nobjectClass: organization\no: example\ndc: example\n\n'
    printf 'dn: ou=people,dc=example,dc=com\nobjectClass: organizationalUnit\nou: people\n\n'
    for name in lea max; do
      printf 'dn: uid=%s,ou=people,dc=example,dc=com\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: %s\nuserPassword: %s-secret\n' $name $name $name $name $name
      [ $name = max ] || echo 'employeeType: trino'
      echo
    done
  } >"$folder/users.ldif"
  of_slapd "$SLAPD/usr/sbin/slapadd" -f "$folder/slapd.conf" -l "$folder/users.ldif" >"$LOGS/slapadd.log" 2>&1 || die "slapadd failed, log in $LOGS/slapadd.log"
  launch slapd env LD_LIBRARY_PATH="$SLAPD_LIBRARIES" "$SLAPD/usr/sbin/slapd" -f "$folder/slapd.conf" -h "ldaps://127.0.0.1:${PORT[slapd]}" -d 0
}
of_slapd() { LD_LIBRARY_PATH=$SLAPD_LIBRARIES "$@"; }

in_ldap() { # VERSION
  local name=$1-ldap ports
  SLAPD=$TOOLS/slapd
  SLAPD_LIBRARIES=$SLAPD/usr/lib/$(uname -m)-linux-gnu:$SLAPD/lib/$(uname -m)-linux-gnu
  step "Trino $1, with passwords in LDAP"
  prepare_slapd >"$LOGS/slapd-packages.log" 2>&1 || { echo "skipped: no slapd of Debian's can be had, log in $LOGS/slapd-packages.log"; return; }
  [ -n "${PID[slapd]:-}" ] || slapd
  stand_ins
  read -ra ports <<<"$(free_ports 2)"
  node "$name" cluster-authentication-ldap coordinator "${ports[0]}" "${ports[0]}" \
    "http-server.https.port=8443=>http-server.https.port=${ports[1]}" "ldaps://ldap.example:636=>ldaps://localhost:${PORT[slapd]}"
  DIRECT=https://localhost:${ports[1]}
  check "$1: a coordinator with LDAP starts with its golden's files" wait_for "$name" 240 is_up "$name"
  check "$1: Warren's user is known, and no LDAP server is asked about it" wait_for "an answer" 90 \
    says '^\[\[1\]\]$' own_answer 'SELECT 1 FROM system.runtime.nodes' warren-verify
  check "$1: whom LDAP knows is let in" says '^\[\["AFRICA"\],' answer "$DIRECT" -u lea:lea-secret
  check "$1: not by another password" says '^401$' answer "$DIRECT" -u lea:max-secret
  check "$1: nor who is not of the group" says '^401$' answer "$DIRECT" -u max:max-secret
  stop "$name"
}

asking() { # VERSION
  local name=$1-asking gateway=$1-gateway ports
  step "Trino $1, which asks who is there"
  server_of "$1"
  stand_ins
  read -ra ports <<<"$(free_ports 2)"
  node "$name" "cluster-authentication-$1" coordinator "${ports[0]}" "${ports[0]}" \
    "http-server.https.port=8443=>http-server.https.port=${ports[1]}"
  DIRECT=https://localhost:${ports[1]}
  check "$1: a coordinator that asks who is there starts with its golden's files" wait_for "$name" 240 is_up "$name"
  check "$1: Warren's user for verification is let in, and queries run" wait_for "an answer" 90 \
    says '^\[\[1\]\]$' own_answer 'SELECT 1 FROM system.runtime.nodes' warren-verify
  gateway_before "$gateway"
  THROUGH=https://localhost:${PORT[$gateway]}
  users "$1" "${ports[0]}"
  own_credential "$1" "$gateway"
  reloads "$1" "$RUN/$name/etc/trino"
  stop "$gateway" "$name"
}

gateway_before() { # GATEWAY
  mkdir -p "$RUN/$1-credentials"
  echo admin >"$RUN/$1-credentials/admin-token"
  echo "warren:$PASSWORD" >"$RUN/$1-credentials/cluster.asking"
  cat >"$RUN/$1.yaml" <<END
groups:
- name: adhoc
  strategy: LeastQueries
  healthCheck: {sql: "SELECT 1", user: ann, intervalSeconds: 5}
  clusters: [{name: asking, url: "$DIRECT", caFile: ca.crt}]
routing: {default: {group: adhoc}}
END
  start_gateway "$1" 1 --tls-cert "$RUN/server.crt" --tls-key "$RUN/server.key" --credentials-dir "$RUN/$1-credentials"
}

users() { # VERSION HTTP_PORT
  check "$1: the right password is taken, the same through the gateway" same '^\[\["AFRICA"\],' -u ann:secret
  check "$1: a wrong one is refused with 401, the same through the gateway" same '^401$' -u ann:wrong
  check "$1: so is who is not known" same '^401$' -u eve:secret
  check "$1: and who shows nothing" same '^401$' -H 'X-Trino-User: ann'
  check "$1: nobody acts for another" same '[Cc]annot (impersonate|set)|Access Denied' -u ann:secret -H 'X-Trino-User: bob'
  check "$1: a token is taken" same '^\[\["AFRICA"\],' -H "Authorization: Bearer $(token tokens dan@example.com trino)"
  check "$1: not one for others" same '^401$' -H "Authorization: Bearer $(token tokens dan@example.com others)"
  check "$1: nor by another key" same '^401$' -H "Authorization: Bearer $(token other dan@example.com trino)"
  check "$1: a client's certificate is taken" says '^\[\["AFRICA"\],' answer "$DIRECT" --cert "$RUN/cy.crt" --key "$RUN/cy.key" -H 'X-Trino-User: cy'
  check "$1: not one of the servers' CA" says '^(401|no answer)$' answer "$DIRECT" --cert "$RUN/stranger.crt" --key "$RUN/stranger.key" -H 'X-Trino-User: cy'
  check "$1: nobody is let in by plain HTTP" says '^403$' answer "http://127.0.0.1:$2" -u ann:secret
}

own_credential() { # VERSION GATEWAY
  check "$1: Warren's user sees the queries of others" sees_others
  check "$1: reads metrics" says '^200' own_page /metrics
  check "$1: and what the coordinator thinks of its workers" says '^200' own_page /v1/node
  check "$1: acts for nobody" says '[Cc]annot (impersonate|set)|Access Denied' own_answer "$SQL" warren -H 'X-Trino-User: ann'
  check "$1: sees no data" says 'Access Denied' own_answer "$SQL"
  check "$1: nor does that for verification" says 'Access Denied' own_answer "$SQL" warren-verify
  check "$1: with another password it is refused" says '^401' own_page /v1/query wrong
  check "$1: the gateway checks by its own credential" wait_for "a check" 30 probed "$2" ok
  check "$1: and counts queries by it" wait_for "a count" 30 counted "$2"
  echo warren:wrong | put "$RUN/$2-credentials/cluster.asking"
  check "$1: one that is refused is told" wait_for "a check" 30 probed "$2" status
  check "$1: and takes no cluster out" all_healthy "$2" 1
}

reloads() { # VERSION ETC
  hashed bob new | put "$2/password-authenticator/authentication.file.db"
  check "$1: who is added to the password file is let in, without a restart" wait_for "bob" 20 says '^error: Access Denied' answer "$DIRECT" -u bob:new
  check "$1: and who is removed is not" wait_for "ann" 20 says '^401$' answer "$DIRECT" -u ann:secret
  hashed warren second | put "$2/warren-password-authenticator-2.db"
  check "$1: Warren's user has a second password" wait_for "the second" 20 says '^200' own_page /v1/query second
  check "$1: beside the first" says '^200' own_page /v1/query
  : | put "$2/warren-password-authenticator-1.db"
  check "$1: until that goes" wait_for "its end" 20 says '^401' own_page /v1/query
  check "$1: and then alone" says '^200' own_page /v1/query second
}

# Clients within the cluster's network, where the names of Services lead somewhere: curl in the pod of a coordinator. What they
# trust: Warren's CA, the proxies' certificate, and the test's own CA. To be sourced by check.sh.
# shellcheck shell=bash

# A CA in the Secret `authority`, and a certificate by it for each of these Services in the Secret <service>-tls.
authority() { # SERVICE…
  local dir name
  dir=$(mktemp -d)
  (
    cd "$dir" || exit
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=authority -keyout ca.key -out ca.crt
    for name; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" -keyout "$name.key" -out "$name.csr"
      openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile <(echo "subjectAltName=DNS:$name") -out "$name.crt"
    done
  ) 2>/dev/null
  k create secret generic authority --from-file="$dir/ca.crt"
  for name; do k create secret tls "$name-tls" --cert="$dir/$name.crt" --key="$dir/$name.key"; done
  rm -r "$dir"
}

# Where `inside` runs, and what it trusts; DIRECT and GATEWAY are the ways to the group's one cluster.
within() { # GROUP
  local name
  CLUSTER=$(names "$1" Active)
  [ "$(wc -w <<<"$CLUSTER")" = 1 ] || no "one Active cluster of $1 is wanted, not '$CLUSTER'"
  {
    k get "trinocluster/$CLUSTER" -o json | jq -r '.status.tls.server.ca // empty'
    for name in authority:ca.crt pxg-tls:tls.crt; do
      k get secret "${name%:*}" --ignore-not-found -o json | jq -r --arg key "${name#*:}" '.data[$key] // empty' | base64 -d
    done
  } | k exec -i "deployment/$CLUSTER-coordinator" -c trino -- sh -c 'cat >/tmp/trusted.pem; rm -f /tmp/jar'
  DIRECT=https://$CLUSTER-coordinator.$NAMESPACE.svc:8443 GATEWAY=https://$PROXY:8080
}
inside() { k exec "deployment/$CLUSTER-coordinator" -c trino -- curl -sS --max-time 30 --cacert /tmp/trusted.pem "$@"; } # CURL_OPTION…

# A login by the provider's form, which begins and ends at the gateway: TOKEN is what the client gets.
log_in() { # USER
  local challenge page action jar=(-L -b /tmp/jar -c /tmp/jar)
  challenge=$(inside -o /dev/null -D - --data 'SELECT 1' "$GATEWAY/v1/statement" | tr -d '\r' |
    sed -nE 's/^www-authenticate: Bearer x_redirect_server="([^"]*)", x_token_server="([^"]*)"$/\1 \2/Ip')
  [ -n "$challenge" ] || no "the gateway asks for no login"
  page=$(inside "${jar[@]}" "${challenge% *}")
  action=$(sed -nE 's/.*<form method="post" action="([^"]*)".*/\1/p' <<<"$page" | sed 's/&amp;/\&/g')
  [ -n "$action" ] || no "the login leads to no form, but: ${page:0:400}"
  page=$(inside "${jar[@]}" -w ' %{http_code} %{url_effective}' --data-urlencode "login=$1@example.com" --data-urlencode password=password "https://dex:5556$action")
  [[ $page == *" 200 $GATEWAY/oauth2/callback?"* ]] || no "the form leads to: $(tail -c 400 <<<"$page")"
  TOKEN=$(inside "${challenge#* }" | jq -er .token) || no "there is no token"
}

# What a statement comes to: its rows, then the error's message; of who is not let in, status, challenges without addresses, body.
outcome() { # URL SQL CURL_OPTION…
  local url=$1 sql=$2 said
  shift 2
  said=$(inside -i "$@" --data "$sql" "$url/v1/statement" | tr -d '\r')
  if [[ $said != HTTP/*' 200'* ]]; then
    sed -nE '1s/^HTTP[^ ]* ([0-9]*).*/\1/p' <<<"$said"
    sed -nE 's/"[^"]*"/"…"/g; s/^www-authenticate: //Ip' <<<"$said" | sort
    sed '1,/^$/d' <<<"$said"
    return
  fi
  said=$(sed '1,/^$/d' <<<"$said")
  while true; do
    jq -cr '.data[]?, (.error.message // empty)' <<<"$said"
    url=$(jq -r '.nextUri // empty' <<<"$said")
    [ -n "$url" ] || break
    said=$(inside "$@" "$url")
  done
}
alike() { # WORDS SQL CURL_OPTION…: directly and through the gateway
  local words=$1 direct through
  shift
  direct=$(outcome "$DIRECT" "$@") through=$(outcome "$GATEWAY" "$@")
  [[ $direct == "$words"* ]] || no "the coordinator says: $direct"
  [ "$direct" = "$through" ] || no "the coordinator says: $direct; and the gateway: $through"
  echo "$through"
}

# A user who has logged in gets this of a statement.
logged_in() { # GROUP USER SQL WORDS
  within "$1"
  log_in "$2"
  alike "$4" "$3" -H "Authorization: Bearer $TOKEN"
}
# Tokens that the provider has not given: another signature, and none at all.
made_up() { # GROUP
  local token
  within "$1"
  log_in ann
  for token in "${TOKEN%.*}.$(head -c 256 /dev/zero | base64 -w 0 | tr -d =)" a.b.c; do
    alike 401 'SELECT 1' -H "Authorization: Bearer $token"
  done
  alike 401 'SELECT 1' -u ann@example.com:password # dex's, and none of Trino's
  alike 401 'SELECT 1'
}

stored() { inside 'http://s3:9000/results?list-type=2' | { grep -o '<Key>[^<]*' || true; } | sed 's/<Key>//'; } # paths of the segments that there are

# 60,000 rows, some of them in the answers and most as the storage or the coordinator gives them: all come, each segment lies below the
# cluster's own place, and it goes when it is acknowledged.
spools() { # GROUP ADDRESS: how those of segments begin
  local page next segment rows=0 segments=0 headers before own
  within "$1"
  before=$(stored)
  page=$(inside -H 'X-Trino-User: demo' -H 'X-Trino-Query-Data-Encoding: json' "http://$PROXY:8080/v1/statement" \
    --data 'SELECT orderkey, orderstatus, totalprice, orderdate, orderpriority, clerk, comment FROM tpch.sf1.orders WHERE orderkey <= 240000')
  while true; do
    [ "$(jq -r '.error.message // empty' <<<"$page")" = "" ] || no "the query failed: $(jq -c .error <<<"$page")"
    while read -r segment; do
      if [ "$(jq -r .type <<<"$segment")" = inline ]; then
        rows=$((rows + $(jq -r .data <<<"$segment" | base64 -d | jq length)))
        continue
      fi
      segments=$((segments + 1))
      [[ $(jq -r .uri <<<"$segment") == "$2"* ]] || no "a segment is at $(jq -r .uri <<<"$segment")"
      own=$(stored | grep -vxF "$before" || true)
      ! grep -qv "^kuttl/$CLUSTER/" <<<"$own" || no "stored, and all to be below kuttl/$CLUSTER/: $own" # nothing at all, too
      mapfile -t headers < <(jq -r '.headers // {} | to_entries[] | "-H", "\(.key): \(.value[0])"' <<<"$segment")
      rows=$((rows + $(inside "${headers[@]}" "$(jq -r .uri <<<"$segment")" | jq length)))
      inside -f -o /dev/null "${headers[@]}" "$(jq -r .ackUri <<<"$segment")"
    done < <(jq -c '.data | objects | .segments[]' <<<"$page")
    next=$(jq -r '.nextUri // empty' <<<"$page")
    [ -n "$next" ] || break
    page=$(inside "$next")
  done
  ((rows == 60000 && segments > 0)) || no "$rows rows came in $segments spooled segments"
  eventually 20 stores "$before"
  echo "$rows rows, $segments segments of $CLUSTER"
}
stores() { [ "$(stored)" = "$1" ] || no "stored: $(stored)"; }

#!/bin/bash
# Run in the image while it is built, as its user: starts Trino once, has it answer a query, and leaves the classes that it
# loaded in /usr/lib/trino/classes.jsa. A Java that is given the file with -XX:SharedArchiveFile need not read them from the
# jars again (JEP 350); where it does not fit, Java goes on without it.
#
#   classes.sh PORT
set -euo pipefail
port=$1 etc=/tmp/etc server=http://localhost:$1

cp -r /etc/trino "$etc"
sed -i "s/8080/$port/; s/\${ENV:CATALOG_MANAGEMENT}/static/" "$etc/config.properties"
printf '%s\n' -Xmx700M -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Djdk.attach.allowAttachSelf=true \
  --add-modules=jdk.incubator.vector -XX:ArchiveClassesAtExit=/tmp/classes.jsa >"$etc/jvm.config"
/usr/lib/trino/bin/launcher run --etc-dir "$etc" -Dnode.id=classes -Dnode.data-dir=/tmp/data &
trap 'kill -9 %1 2>/dev/null || true; rm -rf /tmp/etc /tmp/data /tmp/classes.jsa' EXIT
query='SELECT r.name, count(*) FROM tpch.tiny.nation n JOIN tpch.tiny.region r USING (regionkey) GROUP BY 1 ORDER BY 1'
until trino --server "$server" --execute "$query"; do # for some seconds it has no node
  kill -0 %1
  sleep 1
done
kill %1
wait %1 || true
mv /tmp/classes.jsa /usr/lib/trino/

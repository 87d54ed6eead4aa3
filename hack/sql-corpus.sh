#!/usr/bin/env bash
# Compares what Warren reads from statements (src/trino/sql) with Trino's own parser, and prints the share that agrees,
# part by part. The statements are those of TPC-H and TPC-DS in Trino's dialect, of Trino's documentation and of its
# tests, and changed ones; Maven brings them. docs/sql-analysis.md tells what came out.
#
#   sql-corpus.sh           makes the corpus if it is not there (2 min), and compares
#   sql-corpus.sh make N    makes it anew, with N changed statements of each (8)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

VERSION=$TRINO_CLI_VERSION
# The last that was released with the queries of TPC-H and TPC-DS; Trino was called Presto SQL then.
BENCHMARKS=io.prestosql:presto-benchto-benchmarks:350
OUT=$WARREN_CACHE/sql-corpus
CORPUS=$OUT/trino-$VERSION.jsonl

fetch() { # GROUP:NAME:VERSION[:TYPE[:CLASSIFIER]]
  mvn -B -q dependency:copy -Dartifact="$1" -DoutputDirectory="$OUT/artifacts" -Dmdep.useBaseVersion=true
}

classpath() { # of Trino's parser, into a file
  cat >"$OUT/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>corpus</groupId><artifactId>corpus</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>io.trino</groupId><artifactId>trino-parser</artifactId><version>$VERSION</version></dependency>
  </dependencies>
</project>
POM
  mvn -B -q -f "$OUT/pom.xml" dependency:build-classpath -Dmdep.outputFile="$OUT/classpath" -DincludeScope=runtime
}

artifacts() {
  local benchmarks=${BENCHMARKS#*:}
  rm -rf "$OUT/artifacts" "$OUT/benchmarks" "$OUT/docs"
  fetch "io.trino:trino-docs:$VERSION:zip"
  fetch "$BENCHMARKS"
  fetch "io.trino:trino-parser:$VERSION:jar:tests"
  fetch "io.trino:trino-testing:$VERSION"
  fetch "io.trino:trino-main:$VERSION:jar:tests"
  unzip -q "$OUT/artifacts/trino-docs-$VERSION.zip" 'html/_sources/*' -d "$OUT/docs"
  unzip -q "$OUT/artifacts/${benchmarks/:/-}.jar" 'sql/*' -d "$OUT/benchmarks"
}

parts() { # COPIES: writes the corpus
  local sources=$OUT/docs/html/_sources jars=$OUT/artifacts home
  home=$(java_home)
  "$home/bin/java" -Dcopies="$1" -cp "$(cat "$OUT/classpath")" "$HACK/sql-corpus/Corpus.java" "$CORPUS.new" \
    tpch="$OUT/benchmarks/sql/presto/tpch" tpcds="$OUT/benchmarks/sql/presto/tpcds" \
    docs-sql="$sources/sql" docs-functions="$sources/functions" docs-other="$sources" \
    tests-parser="$jars/trino-parser-$VERSION-tests.jar" tests-testing="$jars/trino-testing-$VERSION.jar" \
    tests-main="$jars/trino-main-$VERSION-tests.jar"
  mv "$CORPUS.new" "$CORPUS"
}

make_corpus() { # COPIES
  command -v mvn >/dev/null || die "the corpus needs Maven (mvn)"
  command -v unzip >/dev/null || die "the corpus needs unzip"
  mkdir -p "$OUT"
  run_logged "downloading Trino's parser, documentation and tests" "$WARREN_CACHE/log/sql-corpus-download.log" artifacts
  run_logged "resolving the parser's classpath" "$WARREN_CACHE/log/sql-corpus-classpath.log" classpath
  run_logged "reading and changing statements" "$WARREN_CACHE/log/sql-corpus.log" parts "$1"
  cat "$WARREN_CACHE/log/sql-corpus.log" >&2
}

main() {
  if [ "${1:-}" = make ]; then
    make_corpus "${2:-8}"
  elif [ ! -s "$CORPUS" ]; then
    make_corpus 8
  fi
  cd "$HACK/.."
  WARREN_SQL_CORPUS=$CORPUS cargo test --locked --test sql_corpus -- --ignored --nocapture
}

main "$@"

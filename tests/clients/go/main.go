// The Go client through database/sql: types, parameters, sessions, errors, cancels, large results, transactions.
// `clients FOLDER SET…`: each case of the sets writes what it saw to FOLDER/<name>.seen, without query ids and
// addresses, so that two runs can be compared; one that fails unexpectedly writes <name>.broken instead.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/trinodb/trino-go-client/trino"
)

const (
	large    = "SELECT * FROM tpch.sf1.lineitem LIMIT 200000"
	endless  = "SELECT count(*) FROM tpch.sf10000.lineitem WHERE comment = 'never'"
	deadline = time.Minute
)

type run struct{ strings.Builder }

type named struct {
	set, name string
	test      func(*run)
}

var cases = []named{
	{"read", "all-types", func(r *run) { r.rows(r.open(""), types()) }},
	{"read", "no-rows", func(r *run) { r.rows(r.open(""), "SELECT * FROM tpch.tiny.region WHERE regionkey > 99") }},
	{"read", "large-result", func(r *run) { r.rows(r.open(""), large) }},
	{"read", "rows-of-a-megabyte", func(r *run) {
		r.rows(r.open(""), "SELECT rpad('x', 1000000, CAST(n AS varchar)) FROM UNNEST(sequence(1, 12)) AS t(n)")
	}},
	{"read", "parameters-prepared", func(r *run) { r.parameters("explicitPrepare=true") }},
	{"read", "parameters-execute-immediate", func(r *run) { r.parameters("explicitPrepare=false") }},
	{"read", "nested-scans", (*run).nestedScans},
	{"read", "session", (*run).session},
	{"read", "errors", (*run).errors},
	{"read", "cancel-before-the-first-row", (*run).cancelEarly},
	{"read", "close-in-the-middle", (*run).closeLate},
	{"read", "deadline", (*run).deadline},
	{"write", "tables", (*run).tables},
	{"transaction", "committed", func(r *run) { r.transaction(&sql.TxOptions{}, (*sql.Tx).Commit) }},
	{"transaction", "rolled-back", func(r *run) {
		r.transaction(&sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true}, (*sql.Tx).Rollback)
	}},
	{"transaction", "aborted-by-an-error", (*run).aborted},
	{"spooled", "large-result", func(r *run) { r.rows(r.open(""), "SELECT * FROM tpch.tiny.lineitem") }},
	{"spooled", "all-types", func(r *run) { r.rows(r.open(""), types()) }},
}

func main() {
	folder, sets := os.Args[1], os.Args[2:]
	for _, one := range cases {
		if !slices.Contains(sets, one.set) {
			continue
		}
		r := &run{}
		end := ".seen"
		func() {
			defer func() {
				if broken := recover(); broken != nil {
					end = ".broken"
					r.tell(broken)
				}
			}()
			one.test(r)
		}()
		path := filepath.Join(folder, one.set+"-"+one.name+end)
		must(os.WriteFile(path, []byte(r.String()), 0o644))
	}
}

func must(err error) { // ends the case, and only it
	if err != nil {
		panic(err)
	}
}

func (r *run) tell(values ...any) { fmt.Fprintln(r, values...) }

func (r *run) open(settings string) *sql.DB { return openAt(os.Getenv("GATEWAY"), settings) }

func openAt(address, settings string) *sql.DB {
	dsn := strings.Replace(address, "http://", "http://clients@", 1) + "?timezone=UTC&" + settings
	db, err := sql.Open("trino", dsn)
	must(err)
	return db
}

func types() string {
	text, err := os.ReadFile(filepath.Join(os.Getenv("CASES"), "types.sql"))
	must(err)
	return string(text)
}

type querier interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}

func (r *run) rows(from querier, query string, arguments ...any) {
	rows, err := from.QueryContext(context.Background(), query, arguments...)
	must(err)
	must(r.read(rows))
}

// Columns, types and all rows, in order; a long result as the sum of its rows.
func (r *run) read(rows *sql.Rows) error {
	defer rows.Close()
	columns, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	for _, column := range columns {
		length, hasLength := column.Length()
		precision, scale, hasPrecision := column.DecimalSize()
		r.tell("column", column.Name(), column.DatabaseTypeName(), column.ScanType(), length, hasLength, precision, scale, hasPrecision)
	}
	values := make([]any, len(columns))
	pointers := make([]any, len(columns))
	for number := range values {
		pointers[number] = &values[number]
	}
	sum, first, count := sha256.New(), strings.Builder{}, 0
	for ; rows.Next(); count++ {
		if err := rows.Scan(pointers...); err != nil {
			return err
		}
		line := "row"
		for _, value := range values {
			line += fmt.Sprintf(" | %T %v", value, value)
		}
		fmt.Fprintln(sum, line)
		if count < 1000 {
			first.WriteString(line + "\n")
		}
	}
	r.WriteString(first.String())
	r.tell("rows", count, fmt.Sprintf("%x", sum.Sum(nil)))
	return rows.Err()
}

func (r *run) parameters(settings string) {
	db := r.open(settings)
	when := time.Date(2024, 2, 29, 12, 34, 56, 789000000, time.UTC)
	for turn := range 2 {
		r.rows(db, "SELECT ?, ?, ?, ?, ?, ?, ?, ?", int64(1)<<62-int64(turn), 1.5, "it's ? ü", turn == 1, nil,
			trino.Numeric("12345678901234567890.10"), when, []string{"a", "b'"})
	}
	prepared, err := db.Prepare("SELECT name FROM tpch.tiny.nation WHERE regionkey = ? AND name <> ? ORDER BY name")
	must(err)
	for region := range 3 {
		rows, err := prepared.Query(region, "CHINA")
		must(err)
		must(r.read(rows))
	}
	must(prepared.Close())
}

func (r *run) nestedScans() {
	var tags trino.NullSlice[trino.NullSlice[sql.NullString]]
	var scores trino.NullMap[string, trino.NullSlice[int64]]
	must(r.open("").QueryRow(`SELECT ARRAY[ARRAY['a', NULL], NULL], MAP(ARRAY['a'], ARRAY[ARRAY[BIGINT '1', 2]])`).Scan(&tags, &scores))
	r.tell(tags, scores)
}

func (r *run) session() {
	db := r.open("catalog=tpch&schema=tiny&source=nightly&clientTags=one,two&client_info=who&trace_token=token" +
		"&session_properties=query_max_run_time:7m;task_concurrency:2&extra_credentials=a:b")
	connection, err := db.Conn(context.Background())
	must(err)
	for _, query := range []string{
		"SELECT current_catalog, current_schema, current_user, current_timezone()",
		"SHOW SESSION LIKE 'query_max_run_time'", "SET SESSION query_max_run_time = '8m'", "SHOW SESSION LIKE 'query_max_run_time'",
		"USE tpch.sf1", "SELECT current_schema", "SELECT count(*) FROM region", "SET TIME ZONE 'Asia/Kolkata'", "SELECT current_timezone()",
		"SHOW TABLES", "SHOW CATALOGS",
	} {
		r.tell(query)
		r.rows(connection, query)
	}
	r.rows(connection, "SELECT source FROM system.runtime.queries WHERE query LIKE '%"+rand.Text()+"%'")
	must(connection.Close())
}

// What the client makes of a failure; one that does not come breaks the case. How many rows come before it is up to
// Trino's timing, so they are left out.
func (r *run) failure(from querier, query string) {
	rows, err := from.QueryContext(context.Background(), query)
	if err == nil {
		err = (&run{}).read(rows)
	}
	r.tellError(err)
}

func (r *run) tellError(err error) {
	var failed *trino.ErrQueryFailed
	var fault *trino.ErrTrino
	switch {
	case err == nil:
		panic("this was to fail")
	case errors.As(err, &fault):
		r.tell(fault.ErrorType, fault.ErrorName, fault.ErrorCode, fault.SqlState, fault.Message, fault.ErrorLocation)
		if errors.As(err, &failed) {
			r.tell("status", failed.StatusCode)
		}
	default:
		r.tell(reflect.TypeOf(err), err)
	}
}

func (r *run) errors() {
	for _, query := range []string{
		"SELEC", "SELECT * FROM tpch.tiny.nowhere", "SELECT x FROM tpch.tiny.nation", "SELECT 1 / 0", "SELECT fail('on purpose')",
		"SELECT * FROM nocatalog.a.b", "SELECT 1 / (orderkey - 60000), comment FROM tpch.tiny.lineitem",
		"SELECT '" + strings.Repeat("x", 1_100_000) + "'",
	} {
		r.tell(query[:min(len(query), 100)])
		r.failure(r.open(""), query)
	}
	r.failure(r.open("session_properties=no_such_property:1"), "SELECT 1")
}

func (r *run) cancelEarly() {
	mark := "go early " + rand.Text()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		rows, err := r.open("").QueryContext(ctx, endless+" -- "+mark)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
		}
		ended <- err
	}()
	await(func() bool { return strings.Contains(fates(mark), "RUNNING") })
	cancel()
	r.tell(errors.Is(<-ended, context.Canceled))
	r.tellFate(mark)
}

// Closed, not cancelled: with its context gone, the driver may give up a page before it tells the coordinator.
func (r *run) closeLate() {
	mark := "go late " + rand.Text()
	rows, err := r.open("").Query("SELECT orderkey, comment FROM tpch.sf100.orders -- " + mark)
	must(err)
	for range 10 {
		if !rows.Next() {
			panic(rows.Err())
		}
	}
	r.tell(rows.Close())
	r.tellFate(mark)
}

func (r *run) deadline() {
	mark := "go deadline " + rand.Text()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	rows, err := r.open("").QueryContext(ctx, endless+" -- "+mark)
	if err == nil {
		for rows.Next() {
		}
		err = rows.Err()
	}
	r.tell(errors.Is(err, context.DeadlineExceeded))
	r.tellFate(mark)
}

// The state in which its coordinator ended the query with this mark; waits until it has ended.
func (r *run) tellFate(mark string) {
	var end string
	await(func() bool {
		end = fates(mark)
		return strings.HasPrefix(end, "FAILED") || strings.HasPrefix(end, "FINISHED")
	})
	r.tell(end)
}

func await(holds func() bool) {
	for begin := time.Now(); !holds(); {
		if time.Since(begin) > deadline {
			panic("this did not come")
		}
		time.Sleep(100 * time.Millisecond) // each look is a query that fills the coordinator's history
	}
}

func fates(mark string) (states string) {
	for _, address := range strings.Fields(os.Getenv("COORDINATORS")) {
		rows, err := openAt(address, "").Query("SELECT state, error_code FROM system.runtime.queries" +
			" WHERE query LIKE '%" + mark + "%' AND query NOT LIKE '%runtime%'")
		must(err)
		for rows.Next() {
			var state, code sql.NullString
			must(rows.Scan(&state, &code))
			states += state.String + " " + code.String + ";"
		}
		must(rows.Err())
	}
	return states
}

func (r *run) tables() {
	db := r.open("catalog=memory&schema=default")
	table := "go_" + strings.ToLower(rand.Text())
	for _, statement := range []string{
		"CREATE TABLE %s AS SELECT * FROM tpch.tiny.nation", "INSERT INTO %s SELECT * FROM tpch.tiny.nation WHERE nationkey < 5",
	} {
		result, err := db.Exec(fmt.Sprintf(statement, table))
		must(err)
		affected, err := result.RowsAffected()
		r.tell(affected, err)
	}
	result, err := db.Exec("INSERT INTO "+table+" VALUES (?, ?, ?, ?)", 100, "it's ü", 7, nil)
	must(err)
	affected, err := result.RowsAffected()
	r.tell(affected, err)
	r.rows(db, "SELECT * FROM "+table+" ORDER BY nationkey, name")
	_, err = db.Exec("DROP TABLE " + table)
	must(err)
}

func (r *run) transaction(options *sql.TxOptions, end func(*sql.Tx) error) {
	db := r.open("")
	for range 2 {
		transaction, err := db.BeginTx(context.Background(), options)
		must(err)
		r.rows(transaction, "SELECT count(*) FROM tpch.tiny.nation")
		r.rows(transaction, "SELECT name FROM tpch.tiny.region WHERE regionkey <> ? ORDER BY name", 2)
		r.rows(transaction, "SHOW TABLES FROM tpch.tiny")
		must(end(transaction))
	}
	r.rows(db, "SELECT 'after'")
}

func (r *run) aborted() {
	db := r.open("")
	transaction, err := db.Begin()
	must(err)
	r.rows(transaction, "SELECT 1")
	r.failure(transaction, "SELECT 1 / 0")
	r.failure(transaction, "SELECT 2")
	r.tell(transaction.Rollback())
	r.rows(db, "SELECT 3")
}

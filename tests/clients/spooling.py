"""The Python client with spooled results: each encoding, the segments themselves, heartbeats, what comes too late."""

from pathlib import Path

import requests

from harness import case, checksum, connect, main, tell, tell_result

LARGE = "SELECT * FROM tpch.tiny.lineitem"


def large_result(encoding):
    cursor = connect(encoding=encoding).cursor()
    cursor.execute(LARGE)
    tell_result(cursor)


@case("spooled")
def large_result_as_json():
    large_result("json")


@case("spooled")
def large_result_as_zstd():
    large_result("json+zstd")


@case("spooled")
def large_result_as_lz4():
    large_result("json+lz4")


@case("spooled")
def all_types():
    cursor = connect(encoding="json+zstd").cursor()
    cursor.execute(Path(__file__).with_name("types.sql").read_text(encoding="utf-8"))
    tell_result(cursor)


@case("spooled")
def an_encoding_that_the_server_does_not_know():
    cursor = connect(encoding="json+brotli").cursor()
    cursor.execute("SELECT * FROM tpch.tiny.region ORDER BY regionkey")
    tell_result(cursor)


@case("spooled")
def segments_one_by_one():
    """Each segment is fetched, fetched again, acknowledged, and gone."""
    cursor = connect(encoding="json").cursor("segment")
    cursor.execute(LARGE)
    rows, spooled, late = [], 0, set()
    for one in cursor:
        segment = one.segment
        tell(one.encoding, type(segment).__name__, sorted(key for key in one.metadata or {}))
        first = segment.data
        rows.append(first)
        if type(segment).__name__ == "InlineSegment":
            continue
        spooled += 1
        assert segment.data == first
        acknowledged = requests.get(segment.ack_uri, headers={key: value[0] for key, value in segment.headers.items()}, timeout=20)
        again = requests.get(segment.uri, headers={key: value[0] for key, value in segment.headers.items()}, timeout=20)
        late.add((acknowledged.status_code, again.status_code))
    assert spooled > 1, "the result is to have several spooled segments"
    tell("acknowledged, and asked for again", late)
    tell("bytes", sum(len(text) for text in rows), checksum(rows))


@case("spooled")
def heartbeats_while_segments_are_fetched():
    cursor = connect(encoding="json").cursor("segment")
    cursor.execute(LARGE)
    request = cursor._query._request
    beats = []
    for one in cursor:
        if request.next_uri is not None:
            beats.append(request.head(request.next_uri).status_code)
        one.segment.data
        if hasattr(one.segment, "ack_uri"):
            one.segment.acknowledge()
    assert beats, "no page had another one after it"
    tell("HEAD", set(beats))


if __name__ == "__main__":
    main()

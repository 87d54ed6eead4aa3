"""Runs the cases of one program of the Python client and writes what each of them saw to a file of its own.

A case is a function marked with its set: `read` (any cluster of a group may answer each statement), `write` (its
statements need the same cluster) or `transaction`. It tells what it saw by `tell`, without query ids and addresses, so
that two runs can be compared. A case that raises writes <name>.broken instead: nothing that is equal to it is right.
"""

import hashlib
import os
import sys
import traceback
from urllib.parse import urlparse

import trino.dbapi
from trino.exceptions import TrinoQueryError

USER = "clients"
DEADLINE = 60  # seconds that something which is waited for may take

_CASES = []
_LINES = []


def case(of_set):
    def mark(function):
        _CASES.append((of_set, function))
        return function

    return mark


def tell(*values):
    _LINES.append(" ".join(str(value) for value in values))


def tell_result(cursor):
    """Columns, types and all rows, in order; a long result as the sum of its rows."""
    rows = cursor.fetchall()
    tell("columns", [tuple(column[:6]) for column in cursor.description or []])
    if len(rows) > 1000:
        tell("rows", len(rows), checksum(rows))
    else:
        for row in rows:
            tell("row", row, [type(value).__name__ for value in row])
    tell("update", cursor.update_type, cursor.rowcount, "warnings", len(cursor.warnings or []))


def checksum(rows):
    total = hashlib.sha256()
    for row in rows:
        total.update(repr(row).encode())
    return total.hexdigest()


def tell_failure(function, *arguments):
    """What the client raises; a call that does not fail breaks the case."""
    try:
        function(*arguments)
    except TrinoQueryError as error:
        tell(type(error).__name__, error.error_type, error.error_name, error.error_code, error.message)
        tell("location", getattr(error, "error_location", None) if error.error_type == "USER_ERROR" else None)
    else:
        raise AssertionError("this was to fail")


def connect(**settings):
    return connect_to(os.environ["GATEWAY"], **settings)


def connect_to(url, **settings):
    address = urlparse(url)
    return trino.dbapi.connect(
        host=address.hostname, port=address.port, http_scheme=address.scheme, **{"user": USER, "timezone": "UTC", **settings}
    )


def coordinators():
    """The coordinators behind the gateway, by their own addresses: what a query came to is asked there."""
    return os.environ["COORDINATORS"].split()


def main():
    folder, *sets = sys.argv[1:]
    for of_set, function in _CASES:
        if of_set not in sets:
            continue
        name = f"{of_set}-{function.__name__.replace('_', '-')}"
        _LINES.clear()
        try:
            function()
        except Exception:
            write(f"{folder}/{name}.broken", "\n".join(_LINES) + "\n" + traceback.format_exc())
        else:
            write(f"{folder}/{name}.seen", "\n".join(_LINES) + "\n")


def write(path, text):
    with open(path, "x", encoding="utf-8") as file:  # two cases of one name would hide each other
        file.write(text)

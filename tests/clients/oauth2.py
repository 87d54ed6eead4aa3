"""Logins by OAuth2 with a real identity provider: of clients, of the web UI, and the renewal of tokens.

`login` is compared with the run without a gateway. `clusters` needs two clusters behind the gateway, and `refresh` one whose
tokens are renewed, behind a gateway below a path; nothing of these is there without a gateway.
"""

import base64
import json
import os
import re
import time
from urllib.parse import parse_qs, urljoin, urlparse

import requests
from trino.auth import JWTAuthentication, OAuth2Authentication
from trino.exceptions import TrinoAuthError, TrinoConnectionError

from browser import Browser, Refused
from harness import case, connect, main, tell, tell_result

GATEWAY = os.environ["GATEWAY"]
NODE = "SELECT node_id FROM system.runtime.nodes WHERE coordinator"
CHALLENGE = re.compile(r'Bearer x_redirect_server="([^"]*)", x_token_server="([^"]*)"')


def connect_by(browser_opens):
    return connect(user="ann", auth=OAuth2Authentication(redirect_auth_url_handler=browser_opens))


def rows(connection, sql):
    cursor = connection.cursor()
    return cursor.execute(sql).fetchall()


def tell_refusal(function, *arguments):
    """The first words of what a client says when it gets no token; the rest names one login."""
    try:
        function(*arguments)
    except (Refused, TrinoAuthError, TrinoConnectionError) as error:
        tell(type(error).__name__, str(error).split("state=")[0])
    else:
        raise AssertionError("this was to fail")


def post(**headers):
    return requests.post(f"{GATEWAY}/v1/statement", data="SELECT 1", headers={"X-Trino-User": "ann", **headers}, timeout=60)


def challenge():
    """Where a login begins, and where its token is waited for."""
    answer = post()
    assert answer.status_code == 401, answer.status_code
    return CHALLENGE.fullmatch(answer.headers["WWW-Authenticate"]).groups()


def token(url):
    answer = requests.get(url, timeout=60)
    answer.raise_for_status()
    return answer.json()


def ui(cluster):
    """A cluster's UI: below its prefix where there is a gateway, at the root of a coordinator itself."""
    below = f"{GATEWAY}/c/{cluster}"
    return f"{below if requests.get(f'{below}/v1/info', timeout=60).ok else GATEWAY}/ui/"


def tell_page(url, page):
    """A page of the UI whose root is `url`: where it ended, and what it is."""
    title = re.search(r"<title>\s*(.*?)\s*</title>", page.text)
    tell(page.status_code, page.url.removeprefix(url), title[1] if title else page.text[:20])


def cookies(browser, url):
    """The browser's cookies for the UI at `url`, their paths as they are below it."""
    path = urlparse(url).path
    own = (cookie for cookie in browser.session.cookies if cookie.path.startswith(path))
    return sorted((cookie.name, cookie.path.removeprefix(path), cookie.secure) for cookie in own)


@case("login")
def queries_after_one_login():
    browser = Browser()
    connection = connect_by(browser.open)
    for sql in ("SELECT current_user", "SELECT count(*) FROM tpch.tiny.orders", "SELECT * FROM tpch.tiny.orders"):
        cursor = connection.cursor()
        cursor.execute(sql)
        tell_result(cursor)
    tell("logins", browser.logins)


@case("login")
def a_token_that_is_used_again():
    browser = Browser()
    begin, wait = challenge()
    tell(browser.open(begin).status_code, browser.logins)
    held = token(wait)["token"]
    tell("claims", sorted(json.loads(base64.urlsafe_b64decode(held.split(".")[1] + "=="))))
    for _ in range(4):
        cursor = connect(user="ann", auth=JWTAuthentication(held)).cursor()
        cursor.execute("SELECT current_user, name FROM tpch.tiny.region")
        tell_result(cursor)


@case("login")
def a_token_is_fetched_and_dropped():
    begin, wait = challenge()
    Browser().open(begin)
    tell(sorted(token(wait)))
    tell(requests.delete(wait, timeout=60).status_code)


@case("login")
def a_wrong_password():
    tell_refusal(rows, connect_by(Browser("wrong").open), "SELECT 1")


@case("login")
def a_login_that_the_provider_refuses():
    def refuse(url):
        """As a provider answers when the user does not consent: back to the callback, with the state."""
        browser = Browser()
        to_provider = browser.session.get(url, allow_redirects=False, timeout=60).headers["Location"]
        asked = parse_qs(urlparse(to_provider).query)
        back = {"error": "access_denied", "error_description": "no consent", "state": asked["state"][0]}
        tell(requests.get(asked["redirect_uri"][0], params=back, timeout=60).status_code)

    tell_refusal(rows, connect_by(refuse), "SELECT 1")


@case("login")
def a_login_that_takes_long():
    """A client that waits for its token is told to ask again, until the login is over."""
    begin, wait = challenge()
    answer = token(wait)
    tell(sorted(answer), answer["nextUri"] == wait)
    Browser().open(begin)
    tell(sorted(token(answer["nextUri"])))


def challenges(count):
    """Two challenges, of `count` clusters."""
    of_cluster = {}
    for begin, wait in (challenge() for _ in range(4)):
        of_cluster.setdefault(urlparse(begin).path.split("/oauth2/")[0], []).append((begin, wait))
    return [of[0] for of in of_cluster.values()] if count == 2 else max(of_cluster.values(), key=len)[:2]


def logins_at_once(both):
    """What two logins that go on at once in one browser end with, as of a program that opens two connections."""
    browser = Browser()
    pages = [browser.go(begin) for begin, _ in both]
    return [browser.log_in(page).status_code for page in pages]


@case("login")
def two_logins_at_once_at_one_cluster():
    """The second takes the first one's nonce: Trino keeps one."""
    both = challenges(1)
    tell(logins_at_once(both), sorted(token(both[1][1])))


@case("login")
def no_token_and_a_wrong_one():
    for headers in ({}, {"Authorization": "Bearer a.b.c"}, {"Authorization": "Basic YW5uOnBhc3N3b3Jk"}):
        answer = post(**headers)
        tell(answer.status_code, answer.text, re.sub(r'"[^"]*"', '"…"', answer.headers["WWW-Authenticate"]))


@case("login")
def a_callback_of_no_login():
    for query in ("?code=a&state=blue.a.b.c", "?error=access_denied&state=blue.a.b.c"):
        answer = requests.get(f"{GATEWAY}/oauth2/callback{query}", timeout=60)
        tell(answer.status_code, "could not be verified" in answer.text)


@case("login")
def the_web_ui():
    browser, url = Browser(), ui("blue")
    tell_page(url, browser.go(urljoin(url, "api/stats")))
    tell_page(url, browser.open(url))
    tell(cookies(browser, url))
    for path in ("api/stats", "", "logout", "api/stats"):
        tell_page(url, browser.go(urljoin(url, path)))
    tell(cookies(browser, url), [cookie.name for cookie in browser.session.cookies], "logins", browser.logins)


@case("clusters")
def each_cluster_takes_the_token_of_one():
    browser = Browser()
    connection = connect_by(browser.open)
    nodes = {rows(connection, NODE)[0][0] for _ in range(4)}
    assert (nodes, browser.logins) == ({"blue", "green"}, 1), (nodes, browser.logins)


@case("clusters")
def two_logins_at_once_at_two_clusters():
    both = challenges(2)
    assert logins_at_once(both) == [200, 200]
    assert all("token" in token(wait) for _, wait in both)


@case("clusters")
def the_web_uis_of_two_clusters_in_one_browser():
    browser, blue, green = Browser(), ui("blue"), ui("green")
    for url in (blue, green):
        page = browser.open(url)
        assert (page.status_code, page.url) == (200, url), (page.status_code, page.url)
    states = lambda: [browser.go(f"{url}api/stats").status_code for url in (blue, green)]
    assert (states(), browser.logins) == ([200, 200], 2)
    browser.go(f"{green}logout")
    assert states() == [200, 401], states()
    names = {cookie.name for cookie in browser.session.cookies if "/c/green/" in cookie.path}
    assert not names, names


@case("refresh")
def an_expired_token_is_renewed_without_a_login():
    browser = Browser()
    connection = connect_by(browser.open)
    lifetime = int(os.environ["TOKENS_LIVE"])
    for _ in range(2):
        assert rows(connection, NODE) == [["red"]]
        first = connection.auth._bearer._get_token_from_cache("127.0.0.1@ann")
        time.sleep(lifetime + 1)
        assert rows(connection, "SELECT current_user") == [["ann"]]
        assert connection.auth._bearer._get_token_from_cache("127.0.0.1@ann") != first
    assert browser.logins == 1, browser.logins


@case("refresh")
def the_web_ui_renews_its_token():
    browser, url = Browser(), f"{GATEWAY}{os.environ['BELOW']}/c/red/ui/"
    page = browser.open(url)
    assert (page.status_code, page.url) == (200, url), (page.status_code, page.url)
    first = {cookie.name: cookie.value for cookie in browser.session.cookies if cookie.path.startswith(urlparse(url).path)}
    assert first, list(browser.session.cookies)
    time.sleep(int(os.environ["TOKENS_LIVE"]) + 1)
    page = browser.go(f"{url}api/stats")
    assert (page.status_code, page.url) == (200, f"{url}api/stats"), (page.status_code, page.url)
    second = {cookie.name: cookie.value for cookie in browser.session.cookies}
    assert set(first) == set(second) and first != second and browser.logins == 1
    page = browser.go(f"{url}logout")
    assert (page.status_code, page.url) == (200, f"{url}logout/logout.html"), (page.status_code, page.url)


if __name__ == "__main__":
    main()

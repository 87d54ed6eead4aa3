"""A browser that logs in by itself: it follows redirects, keeps cookies, and fills the form of dex.

As a program, `browser.py URL`, it is what clients open where a person's browser would be. Each request has a connection of its own, so that a balancer sends each leg to another gateway.
"""

import html
import re
import sys
from urllib.parse import urljoin

import requests

LOGIN, PASSWORD = "ann@example.com", "password"
FORM = re.compile(r'<form method="post" action="([^"]*)"')
REDIRECTS = (301, 302, 303, 307, 308)


class Refused(Exception):
    """The provider did not take the login."""


class Browser:
    def __init__(self, password=PASSWORD):
        self.password = password
        self.logins = 0
        self.session = requests.Session()
        self.session.headers["Connection"] = "close"

    def open(self, url):
        """The page at the end of the redirects, after a login where one is asked for."""
        page = self.go(url)
        return self.log_in(page) if FORM.search(page.text) else page

    def go(self, url):
        return self._follow(self.session.get(url, allow_redirects=False, timeout=60))

    def log_in(self, page):
        """Fills the form on `page` and goes where that leads."""
        self.logins += 1
        action = urljoin(page.url, html.unescape(FORM.search(page.text)[1]))
        fields = {"login": LOGIN, "password": self.password}
        after = self._follow(self.session.post(action, data=fields, allow_redirects=False, timeout=60))
        if FORM.search(after.text):
            raise Refused(re.search(r'id="login-error"[^>]*>\s*([^<]*?)\s*<', after.text)[1])
        return after

    def _follow(self, answer):
        for _ in range(20):
            if answer.status_code not in REDIRECTS:
                return answer
            target = urljoin(answer.url, answer.headers["Location"])
            answer = self.session.get(target, allow_redirects=False, timeout=60)
        raise AssertionError(f"redirected without an end, at last to {answer.url}")


if __name__ == "__main__":
    end = Browser().open(sys.argv[1])
    sys.exit(0 if end.ok else f"{end.url.split('?')[0]}: {end.status_code}\n{end.text}")

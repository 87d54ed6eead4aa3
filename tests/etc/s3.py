"""A local S3 server that does not answer `Expect: 100-continue`: the asynchronous client of the exchange sends its body at once, and
takes a 100 for the answer ("Status Code: 100", Trino 476).   s3.py PORT"""

import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple


class Silent(WSGIRequestHandler):
    def run_wsgi(self):
        del self.headers["Expect"]
        super().run_wsgi()


run_simple(
    "127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=True, request_handler=Silent
)

"""What stands outside of a cluster in hack/etc.sh: it lets everybody do everything as an Open Policy Agent, and takes events as a
listener's ingest. Each request is a line of the log.   outside.py PORT"""

import http.server
import sys


class Outside(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # noqa: N802: the name is http.server's
        self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = b'{"result": true}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        print(self.path, self.headers.get("x-audit") or self.headers.get("authorization"), flush=True)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Outside).serve_forever()

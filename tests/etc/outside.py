"""What stands outside of a cluster in hack/etc.sh: it lets everybody do everything as an Open Policy Agent, and takes events as a
listener's ingest. Each request is a line of the log. With a file of a key and a certificate it speaks HTTPS.

    outside.py PORT [PEM]"""

import http.server
import ssl
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


server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Outside)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()

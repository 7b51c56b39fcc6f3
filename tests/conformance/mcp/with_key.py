"""Forwards requests to a Lar and adds a key, for a suite that sends none.

Usage: with_key.py URL KEY. Prints its own address."""

import http.client
import http.server
import sys
import urllib.parse

TARGET, KEY = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
HOP = {"connection", "content-length", "transfer-encoding", "keep-alive"}


class Forwarder(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        headers["authorization"] = f"Bearer {KEY}"
        connection = http.client.HTTPConnection(TARGET.hostname, TARGET.port, timeout=60)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = forward

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Ignores clients that disconnect."""


server = Server(("127.0.0.1", 0), Forwarder)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

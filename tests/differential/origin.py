"""A server that tells what it saw, a line a request."""
import http.server
import json
import os
import sys


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name):
        # Any method is served.
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def serve(self):
        chunked = self.headers["Transfer-Encoding"] == "chunked"
        body = b"".join(self.chunks()) if chunked else self.rfile.read(int(self.headers["Content-Length"] or 0))
        seen = {"line": self.requestline, "headers": self.headers.items(), "body": list(body)}
        # In one piece, as other threads tell of theirs.
        os.write(1, (json.dumps(seen) + "\n").encode())
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline() != b"\r\n":
            pass

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Origin).serve_forever()

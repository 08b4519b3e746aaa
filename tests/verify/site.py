"""A site with a login that does everything right, but for the faults that it is told: site.py CERT KEY [FAULT]."""
import secrets
import ssl
import sys
import threading
import time
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

CERT, KEY, *FAULTS = sys.argv[1:]
sessions, used, tries, serial = {}, {}, [0], [0]

# A session that nobody used for so many seconds is over.
IDLE = 12


def wrong(fault):
    return fault in FAULTS


def new_id():
    serial[0] += 1
    if wrong("entropy"):
        return f"session-{serial[0]:030}"
    return secrets.token_urlsafe(32)


class Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def name(self):
        return "sid" if wrong("prefix") else "__Host-sid"

    def held(self):
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get(self.name())
        return cookie.value if cookie else None

    def user(self):
        if wrong("identity_headers") and not self.held() and self.headers.get("X-Forwarded-User"):
            return self.headers["X-Forwarded-User"]
        held, now = self.held(), time.monotonic()
        if now - used.get(held, now) > IDLE and not wrong("idle"):
            sessions.pop(held, None)
        used[held] = now
        return sessions.get(held)

    def cookie(self, value):
        parts = [f"{self.name()}={value}", "Path=/"]
        parts += [] if wrong("secure") else ["Secure"]
        parts += [] if wrong("http_only") else ["HttpOnly"]
        parts += [] if wrong("same_site") else ["SameSite=Lax"]
        parts += ["Domain=test"] if wrong("domain") else []
        parts += ["Max-Age=31536000"] if wrong("lifetime") else []
        return ("Set-Cookie", "; ".join(parts))

    def reply(self, status, body="", *headers):
        self.send_response(status)
        if not wrong("hsts"):
            self.send_header("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload")
        if not wrong("framing"):
            self.send_header("X-Frame-Options", "DENY")
        if not wrong("nosniff"):
            self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "unsafe-url" if wrong("referrer") else "no-referrer")
        if not wrong("caching"):
            self.send_header("Cache-Control", "no-store")
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/" and self.user():
            name = wrong("believed_headers") and self.headers.get("Remote-User") or self.user()
            page = f"<p>Hello {name}</p><a href='/logout'>out</a>"
            return self.reply(200, page)
        if url.path == "/":
            return self.reply(303, "", ("Location", "/login"))
        if url.path == "/logout":
            return self.reply(200, "<form method=post><button>out</button></form>")
        if self.user() and wrong("redirects"):
            return self.reply(303, "", ("Location", query.get("next", "/")))
        action = "action=https://foregate-verify.invalid/login" if wrong("action") else ""
        form = f"<form method=post {action}><input type=hidden name=token value=t><input name=user><input type=password name=pw></form>"
        headers = []
        if wrong("regeneration") or wrong("fixation"):
            planted = self.held() if wrong("fixation") else None
            headers = [self.cookie(planted or new_id())]
        return self.reply(200, form, *headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        foreign = self.headers.get("Sec-Fetch-Site") == "cross-site"
        if self.path == "/":
            return self.reply(403 if foreign and not wrong("csrf") else 200, "<p>done</p>")
        if self.path == "/logout":
            if not wrong("logout"):
                sessions.pop(self.held(), None)
            return self.reply(303, "", ("Location", "/login"), self.cookie("; Max-Age=0"))
        if foreign and not wrong("login_csrf") or (sent.get("token") != "t" and not wrong("login_csrf")):
            return self.reply(403, "<p>no</p>")
        if sent.get("pw") != "correct horse":
            tries[0] += 1
            limited = tries[0] > 5 and not wrong("limit")
            return self.reply(429 if limited else 401, "<p>no</p>")
        keeps = wrong("regeneration") or wrong("fixation")
        value = self.held() if keeps and self.held() else new_id()
        sessions[value] = sent["user"]
        return self.reply(303, "", ("Location", "/"), self.cookie(value))


class Plain(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200 if wrong("http") else 301)
        if not wrong("http"):
            self.send_header("Location", f"https://localhost:{https.server_port}{self.path}")
        if wrong("http_cookie"):
            self.send_header("Set-Cookie", "seen=1")
        self.end_headers()


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that offers old TLS is refused, and that is all."""


https = Server(("127.0.0.1", 0), Site)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
if wrong("tls"):
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
context.load_cert_chain(CERT, KEY)
https.socket = context.wrap_socket(https.socket, server_side=True, do_handshake_on_connect=False)
http = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
print(https.server_port, http.server_port, flush=True)
threading.Thread(target=http.serve_forever, daemon=True).start()
https.serve_forever()

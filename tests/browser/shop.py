"""A shop as many were written: its cookies say nothing of Secure, HttpOnly and SameSite, and its script reads one."""

from flask import Flask, redirect, request, session
from werkzeug.serving import make_server

PAGE = """<!doctype html><title>Shop</title><h1>{user}'s basket: {basket}</h1><p>Theme {theme}.</p>
<form method=post action=/add><input name=token type=hidden><button>Add</button></form>
<a href=/empty>Empty</a>
<script>
const [, token] = document.cookie.match(/csrftoken=([^;]*)/) ?? [];
document.querySelector('[name=token]').value = token ?? 'unreadable';
</script>"""

app = Flask(__name__)
app.secret_key = "not much of a secret"
app.config.update(SESSION_COOKIE_NAME="shop", SESSION_COOKIE_HTTPONLY=False, SESSION_COOKIE_DOMAIN="app.test")


@app.get("/")
def basket():
    session.setdefault("basket", 0)
    theme = request.cookies.get("theme", "none")
    user = request.headers["X-Forwarded-User"]
    response = app.make_response(PAGE.format(user=user, basket=session["basket"], theme=theme))
    response.set_cookie("theme", "dark", max_age=10 * 365 * 86400)
    response.set_cookie("csrftoken", "t0ken")
    response.set_cookie("widget", "1", samesite="None")
    response.headers.add("Set-Cookie", "__Host-broken=1; Path=/")
    return response


@app.post("/add")
def add():
    if request.form["token"] != request.cookies["csrftoken"]:
        return "a bad token", 400
    session["basket"] += 1
    return redirect("/")


@app.get("/empty")
def empty():
    session.clear()
    return redirect("/")


server = make_server("127.0.0.1", 0, app)
print(f"sells on port {server.port}", flush=True)
server.serve_forever()

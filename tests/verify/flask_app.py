"""A plain Flask-Session application, as its documentation begins, with a login: flask_app.py CERT KEY."""
import sys

from cachelib import FileSystemCache
from flask import Flask, redirect, request, session
from flask_session import Session
from werkzeug.serving import make_server

CERT, KEY = sys.argv[1:]
app = Flask(__name__)
app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=FileSystemCache("sessions"))
Session(app)

FORM = "<form method=post><input name=username><input type=password name=password></form>"


@app.route("/", methods=["GET", "POST"])
def home():
    if "user" not in session:
        return redirect("/login")
    return f"Hello {session['user']} <a href=/logout>Log out</a>"


@app.route("/login", methods=["GET", "POST"])
def login():
    session["visits"] = session.get("visits", 0) + 1
    if request.form.get("password") == "correct horse":
        session["user"] = request.form["username"]
        return redirect(request.args.get("next", "/"))
    return FORM


@app.route("/logout")
def logout():
    session.pop("user", None)
    return redirect("/login")


server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=(CERT, KEY))
print(server.server_port, 9, flush=True)  # by http nobody answers
server.serve_forever()

// A chat of one room. It knows nobody and asks nobody: who speaks, says a header that only Foregate can set.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const page = `<!doctype html>
<title>Chat</title>
<h1>Chat</h1>
<ul id="said" aria-live="polite"></ul>
<form id="say"><input name="text" aria-label="Text" autocomplete="off"><button>Say</button></form>
<p id="state">Connecting</p>
<p><a href="/_foregate/logout">Leave</a></p>
<script>
  const socket = new WebSocket('wss://' + location.host + '/room');
  const state = (text) => { document.querySelector('#state').textContent = text };
  socket.onopen = () => state('Connected');
  // 4401: the session has ended, here, in another tab, or by somebody who may end it.
  socket.onclose = ({ code }) => state(code === 4401 ? 'Signed out' : 'Connection lost');
  socket.onmessage = ({ data }) => {
    const line = document.createElement('li');
    line.textContent = data;
    document.querySelector('#said').append(line);
  };
  document.querySelector('#say').onsubmit = (event) => {
    event.preventDefault();
    socket.send(event.target.text.value);
    event.target.reset();
  };
</script>`;

const server = createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(page);
});
const room = new WebSocketServer({ server, path: '/room', maxPayload: 4096 });
room.on('connection', (socket, request) => {
  const user = request.headers['x-forwarded-user'];
  const tell = (text) => room.clients.forEach((client) => client.send(text));
  tell(`${user} has come`);
  socket.on('message', (text) => tell(`${user}: ${text}`));
  socket.on('close', () => tell(`${user} has gone`));
});

// On loopback alone: whoever came past Foregate could say who they are.
server.listen(process.env.PORT ?? 9100, '127.0.0.1', () => console.log(`chat on port ${server.address().port}`));

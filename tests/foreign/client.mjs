// Speaks with an echo server by npm's ws: client.mjs PORT CERTIFICATE COOKIES.
import assert from "node:assert";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import WebSocket from "ws";

const [port, certificate, cookies] = process.argv.slice(2);

async function connection() {
  const socket = new WebSocket(`wss://app.test:${port}/chat`, {
    ca: readFileSync(certificate),
    headers: { Cookie: cookies },
    lookup: (name, options, found) =>
      options.all ? found(null, [{ address: "127.0.0.1", family: 4 }]) : found(null, "127.0.0.1", 4),
    maxPayload: 32 << 20,
  });
  await once(socket, "open");
  return socket;
}

async function answer(socket) {
  const [data, binary] = await once(socket, "message");
  return binary ? data : data.toString();
}

let socket = await connection();
for (const message of ["text: äöü ☃", "", Buffer.from([0, 255, 1]), Buffer.alloc(16 << 20, 7), "x".repeat(70000)]) {
  socket.send(message);
  assert.deepStrictEqual(await answer(socket), message, "the message came back changed");
}
socket.send("in ", { fin: false });
socket.send("three ", { fin: false });
socket.send("fragments", { fin: true });
assert.equal(await answer(socket), "in three fragments");
socket.send("fragments");
assert.equal(await answer(socket), "one two three");
socket.ping("are you there?");
assert.equal((await once(socket, "pong"))[0].toString(), "are you there?");
socket.close(1000);
assert.equal((await once(socket, "close"))[0], 1000);

socket = await connection();
socket.send("close");
let [code, reason] = await once(socket, "close");
assert.deepEqual([code, reason.toString()], [4002, "as you wish"]);

socket = await connection();
socket.close(4001, "enough");
[code, reason] = await once(socket, "close");
assert.deepEqual([code, reason.toString()], [4001, "enough"]);
console.log("all is well");

// An echo server with npm's ws; says on which port it listens.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 32 << 20 }, () => {
  console.log(server.address().port);
});
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => {
    const text = binary ? null : data.toString();
    if (text === "close") return socket.close(4002, "as you wish");
    if (text === "fragments") {
      socket.send("one ", { fin: false });
      socket.send("two ", { fin: false });
      return socket.send("three", { fin: true });
    }
    socket.send(data, { binary });
  });
});

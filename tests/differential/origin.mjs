// A server that tells what it saw, a line a request.
import { createServer } from 'node:http';

createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const headers = [];
    for (let at = 0; at < request.rawHeaders.length; at += 2) headers.push(request.rawHeaders.slice(at, at + 2));
    const line = `${request.method} ${request.url} HTTP/${request.httpVersion}`;
    console.log(JSON.stringify({ line, headers, body: [...Buffer.concat(pieces)] }));
    response.end('hello');
  });
}).listen(Number(process.argv[2]), '127.0.0.1');

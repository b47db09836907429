// A server of Node.js that tells how it reads requests: two lines on standard
// output name its ports. The first serves; GET on the second answers with what
// the first has read since, in JSON, as a list of [method, url, content].
import { createServer } from "node:http";

let asked = [];

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    asked.push([request.method, request.url, Buffer.concat(chunks).toString("latin1")]);
    response.end("ok");
  });
});
// A client that ends its side gets the answers to what it has sent.
server.httpAllowHalfOpen = true;

const report = createServer((_, response) => {
  response.end(JSON.stringify(asked));
  asked = [];
});

for (const s of [server, report]) {
  await new Promise((listening) => s.listen(0, "127.0.0.1", listening));
  console.log(s.address().port);
}
console.log(process.versions.node);

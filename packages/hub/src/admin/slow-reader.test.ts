import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { test } from "node:test";

import { cutSlowReader, SLOW_READER } from "./slow-reader.ts";

const STALLED_LOOKS = SLOW_READER.stalledMs / SLOW_READER.lookEveryMs;

test("a client that takes nothing for a minute is cut off, one that takes a little is not", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const answering = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => answering.resolve(response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  // Nothing else listens on a path here.
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.pause();
  client.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  const response = await answering.promise;
  const piece = Buffer.alloc(1024 * 1024);
  while (response.write(piece));
  while (!response.writableNeedDrain) response.write(piece);
  cutSlowReader(response);

  context.mock.timers.tick(STALLED_LOOKS * SLOW_READER.lookEveryMs);
  assert.equal(response.destroyed, false);
  response.emit("drain");
  context.mock.timers.tick(STALLED_LOOKS * SLOW_READER.lookEveryMs);
  assert.equal(response.destroyed, false);
  context.mock.timers.tick(SLOW_READER.lookEveryMs);

  assert.equal(response.destroyed, true);
  client.destroy();
  server.close();
});

test("an answer whose client is gone already is not watched", async (context) => {
  context.mock.timers.enable({ apis: ["setInterval"] });
  const answering = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => answering.resolve(response)).listen(0, "127.0.0.1");
  await once(server, "listening");
  // Nothing else listens on a path here.
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  const response = await answering.promise;
  client.destroy();
  await once(response, "close");

  cutSlowReader(response);

  assert.equal(response.listenerCount("drain"), 0);
  server.close();
});

import { setTimeout as wait } from "node:timers/promises";

import { ClientConnection, readBuffer, requestBytes } from "./client-connection.ts";
import { EventCounter } from "./event-counter.ts";
import type { LoadResult, StreamsJob } from "./job.ts";
import { type Counts, measureWindow } from "./window.ts";

/** Opens streams a little apart, then counts their events. A stream that ends is opened anew on its connection. */
export async function runStreams(job: StreamsJob): Promise<LoadResult> {
  const counts: Counts = { requests: 0, events: 0, errors: 0 };
  const request = requestBytes(job.target, job.body);
  const shared = readBuffer();
  const connections: ClientConnection[] = [];
  for (let opened = 0; opened < job.streams; opened += 1) {
    connections.push(openStream(job.target.port, shared, request, counts));
    await wait(job.spreadMs / job.streams);
  }
  const result = await measureWindow(counts, job);
  for (const connection of connections) connection.close();
  return result;
}

function openStream(port: number, shared: Uint8Array, request: Buffer, counts: Counts): ClientConnection {
  let counter = new EventCounter();
  const connection: ClientConnection = new ClientConnection(port, shared, {
    head(status) {
      if (status !== 200) counts.errors += 1;
    },
    body(bytes, start, end) {
      const before = counter.count;
      counter.read(bytes, start, end);
      counts.events += counter.count - before;
    },
    end() {
      counts.requests += 1;
      counter = new EventCounter();
      connection.send(request);
    },
    failed: () => (counts.errors += 1),
  });
  connection.send(request);
  return connection;
}

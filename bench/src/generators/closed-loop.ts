import { ClientConnection, readBuffer, requestBytes } from "./client-connection.ts";
import type { ClosedLoopJob, LoadResult } from "./job.ts";
import { type Counts, measureWindow } from "./window.ts";

/** Asks over every connection as fast as it is answered. */
export async function runClosedLoop(job: ClosedLoopJob): Promise<LoadResult> {
  const counts: Counts = { requests: 0, events: 0, errors: 0, bytes: 0 };
  const request = requestBytes(job.target, job.body);
  const shared = readBuffer();
  const connections = Array.from({ length: job.connections }, () => {
    const connection: ClientConnection = new ClientConnection(job.target.port, shared, {
      head(status) {
        if (status !== 200) counts.errors += 1;
      },
      body() {},
      end() {
        counts.requests += 1;
        connection.send(request);
      },
      failed: () => (counts.errors += 1),
    });
    connection.send(request);
    return connection;
  });
  const result = await measureWindow(counts, job);
  for (const connection of connections) connection.close();
  return result;
}

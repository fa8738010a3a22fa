import { BatchedRequestLog } from "../batched-request-log.ts";
import { SilentLog } from "../silent-log.ts";

// Records without end into the database of the first argument. Says on stdout, after each flush, how many must be there.
const log = new BatchedRequestLog({
  databaseUrl: process.argv[2] ?? "",
  maxRows: 1e9,
  log: new SilentLog(),
  batchRows: 100,
});
for (let recorded = 0; ;) {
  for (let i = 0; i < 1000; i += 1) {
    recorded += 1;
    log.record({
      requestId: `req_${recorded}`,
      startedAtMs: recorded,
      route: "/v1/models",
      method: "GET",
      streamed: false,
      status: 200,
      outcome: "complete",
      attempts: 1,
      requestBytes: 1,
      responseBytes: 1,
      totalMs: 1,
    });
  }
  await log.flush();
  process.stdout.write(`${recorded}\n`);
}

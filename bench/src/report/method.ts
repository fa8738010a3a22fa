import type { Sheet } from "../rows/figures.ts";

/** How a sheet's figures come about, for the document. */
export const METHOD: Readonly<Record<Sheet["name"], string>> = {
  hub: `- Every system is in front of the same simulated engine (\`packages/tiny-engine\`), which answers by the model's name, so all
  move the same bytes. The hub reaches it through its tunnel and \`tokiame\`, as always; the peers call it themselves.
- Real processes as an operator starts them: \`tokilake serve\` with its own database, keys made by its command, its log
  written to a file; two \`tokiame run\`, of which the second serves only streams beyond the 256 of one session.
- The system under test is alone on core 0, its helper threads included. The engine, the workers and the generator share
  core 1, so the system is not always busy to the full; "core used" tells.
- CPU is user and system time of the process, all threads, from \`/proc/PID/stat\`, between the end of the warm-up and the
  end. On loopback the sender also pays for the receiver's TCP.
- Rounds are interleaved: each round measures every system once, in turning order. Rounds in which other programs
  used more than a quarter of a core are left out while half of the rounds remain.
- The request row is driven by \`wrk\` where it is installed, else by our own generator. Latencies count from the moment a
  request was due (a thread that waits on an atomic gives the moments), so a system that falls behind is not
  excused. The generator's own time is in the whole latencies and falls out of the added ones.
- nginx: one process, kept connections, \`proxy_buffering off\`. node-proxy: \`node:http\` and undici's dispatcher. Portkey:
  \`@portkey-ai/gateway\` as its package starts it, with an older \`@hono/node-server\` (1.3.3), without which every stream of it
  fails.
- The goals were set on another machine with two cores, where nginx took 23 µs a request and a Node proxy 68 to 81. The ratios to the
  peers carry over from one machine to another, the ratios to the goals less so.
- Memory: fresh processes each round, three rounds for the peers. Idle workers are sessions of the tunnel's own client in one
  process; 20 and more workers carry the open streams.
- Not measured here: how cost grows with workers, keys and logged requests.
`,
  tunnel: `- The server is a small HTTP gateway of \`node:http\` and the package's server (\`bench/src/tunnel/server.ts\`): a request
  becomes a stream, each chunk of the answer one \`write\`. \`direct\` is the same server that answers by itself. So v2 less
  direct is what the tunnel itself costs at the hub; the worker's CPU is not counted.
- v1 is the protocol of the original Go programs, spoken by both of our ends. It has no flow control: a stream is as fast as
  its line, until its reader is 4 MB behind.
- The server is alone on core 0; worker and generator share core 1. Where a line is in between, nothing is pinned.
- The worker answers without an engine. It keeps 250 streams on a connection, so 400 streams have 2, 2,000 have 8 and
  5,000 have 21.
- Requests of the first row come from \`wrk\` where it is installed, all others from our own generator.
- The line (\`bench/src/tunnel/delay-line.ts\`) is a proxy that holds every byte for half of the round trip and has no
  bandwidth of its own. Kernels on both sides of it see a short line. Over a real one of 100 ms they must be allowed to keep
  as much under way as the tunnel: Linux lets a sender have 4 MB (\`net.ipv4.tcp_wmem\`), which is about 0.2 Gbit/s at 100 ms,
  whatever runs on top.
- Idle workers are the package's own client, all in one process. What a server grows once, whatever the number of workers,
  is shared by 1,000 or by 10,000 of them, so the second figure is nearer to what one more costs.
- Chunks and requests include what \`node:http\` takes, most of which is the kernel's: where \`direct\` alone is near a goal
  or above it, the tunnel cannot reach it with this server. The hub writes its answers in another way, see its own rows.
`,
};

// The worker behind the tunnel: answers by itself, over as many sessions as it is told. Its arguments are the URL of the
// server and the number of sessions. Prints a line when all are connected. Ends with its standard input.
import { connectTunnel, type TunnelStream } from "@tokilake/tunnel";

import { answer, type AnswerRequest, type AnswerSink, headersOf } from "./answers.ts";

const [url = "", sessions = "1"] = process.argv.slice(2);
const connected = new Set<number>();

for (let number = 1; number <= Number(sessions); number += 1) {
  connectTunnel({
    url,
    token: "bench",
    workerId: `bench-${number}`,
    software: "tokiame/bench",
    // Protocol v1 takes nothing else.
    details: () => ({
      kind: "models",
      nodeName: `bench-${number}`,
      targets: [],
      models: [{ id: "bench" }],
      hardware: {},
    }),
    serve,
    onState: (state) => {
      if (state.is !== "connected" || connected.has(number)) return;
      connected.add(number);
      if (connected.size === Number(sessions)) process.stdout.write(`${JSON.stringify({ version: state.version })}\n`);
    },
  });
}
process.stdin.on("end", () => process.exit(0)).resume();

async function serve(stream: TunnelStream): Promise<void> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream.body) pieces.push(piece);
  // Written by answerBody, of the same version as this program.
  const request = JSON.parse(Buffer.concat(pieces).toString()) as AnswerRequest;
  stream.respond({ status: 200, headers: headersOf(request) });
  answer(request, new StreamSink(stream));
}

class StreamSink implements AnswerSink {
  isOver = false;
  readonly #stream: TunnelStream;

  constructor(stream: TunnelStream) {
    this.#stream = stream;
    stream.signal.addEventListener("abort", () => (this.isOver = true));
  }

  write(bytes: Uint8Array): boolean {
    return this.#stream.write(bytes);
  }

  drained(): Promise<void> {
    return this.#stream.drained();
  }

  end(): void {
    this.#stream.end();
  }
}

// A TCP line on which every byte takes a while, in either direction, and which is as fast as this machine. Its arguments
// are the port that it leads to and the delay of one direction in milliseconds. Prints its port. Ends with its standard
// input. The kernels of this bench's machines have no netem; the faulty line of e2e holds 1 MB, which is 160 Mbit/s over
// 50 ms.
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

const [target = "0", delay = "0"] = process.argv.slice(2);
const delayMs = Number(delay);
/** Bytes of one direction that are under way. Beyond it nothing is read: 10 Gbit/s over 50 ms. */
const MAX_UNDER_WAY_BYTES = 64 * 1024 * 1024;

const server = createServer({ noDelay: true }, (socket) => {
  const other = connect({ port: Number(target), host: "127.0.0.1", noDelay: true });
  lead(socket, other);
  lead(other, socket);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
process.stdin.on("end", () => process.exit(0)).resume();

/** One direction. */
function lead(from: Socket, to: Socket): void {
  const underWay: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  let first = 0;
  let bytesUnderWay = 0;
  let timer: NodeJS.Timeout | undefined;
  from.on("data", (bytes: Buffer) => {
    underWay.push({ bytes, dueMs: performance.now() + delayMs });
    bytesUnderWay += bytes.length;
    if (bytesUnderWay >= MAX_UNDER_WAY_BYTES) from.pause();
    if (timer === undefined && !to.writableNeedDrain) deliver();
  });
  to.on("drain", deliver);
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroySoon());

  /** Writes what is due, as far as the receiver takes it. */
  function deliver(): void {
    timer = undefined;
    const now = performance.now();
    to.cork();
    for (let piece = underWay[first]; piece !== undefined && piece.dueMs <= now; piece = underWay[first]) {
      first += 1;
      bytesUnderWay -= piece.bytes.length;
      if (!to.write(piece.bytes)) break;
    }
    to.uncork();
    if (bytesUnderWay < MAX_UNDER_WAY_BYTES) from.resume();
    const next = underWay[first];
    if (first > 1000 || next === undefined) {
      underWay.splice(0, first);
      first = 0;
    }
    if (next !== undefined && !to.writableNeedDrain) timer = setTimeout(deliver, next.dueMs - now);
  }
}

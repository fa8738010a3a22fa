import { spawnSync } from "node:child_process";

/** Addresses for measurements between networks (RFC 2544): nothing on the internet has them. */
const HERE = "198.18.77.1";
const THERE = "198.18.77.2";

/** A second network on this machine, with a wire to the first one. */
export interface NetworkNamespace extends Disposable {
  /** This machine's address, as the programs there see it. */
  readonly address: string;
  /** To put before a program. */
  readonly command: readonly string[];
  /** From now on the wire carries nothing, and nobody is told. */
  cut(): void;
  mend(): void;
  /** Limits both directions. False: this kernel cannot. */
  limit(bitsPerSecond: number): boolean;
}

/** Undefined where this machine does not allow it: that needs Linux, iproute2 and root. */
export function openNetworkNamespace(): NetworkNamespace | undefined {
  const name = `tokilake-${process.pid}`;
  const [outer, inner] = [`tko${process.pid}`, `tki${process.pid}`];
  const inside = ["ip", "netns", "exec", name];
  const close = () => {
    run("ip", "link", "del", outer);
    run("ip", "netns", "del", name);
  };
  if (!run("ip", "netns", "add", name)) return undefined;
  const isReady =
    run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name) &&
    run("ip", "addr", "add", `${HERE}/30`, "dev", outer) &&
    run("ip", "link", "set", outer, "up") &&
    run(...inside, "ip", "link", "set", "lo", "up") &&
    run(...inside, "ip", "addr", "add", `${THERE}/30`, "dev", inner) &&
    run(...inside, "ip", "link", "set", inner, "up");
  if (!isReady) {
    close();
    return undefined;
  }
  const shape = (rate: number) => ["root", "tbf", "rate", `${rate}bit`, "burst", "32kb", "latency", "50ms"];
  return {
    address: HERE,
    command: inside,
    cut: () => void run("ip", "link", "set", outer, "down"),
    mend: () => void run("ip", "link", "set", outer, "up"),
    limit: (bitsPerSecond) =>
      run("tc", "qdisc", "add", "dev", outer, ...shape(bitsPerSecond)) &&
      run(...inside, "tc", "qdisc", "add", "dev", inner, ...shape(bitsPerSecond)),
    [Symbol.dispose]: close,
  };
}

/** Whether it succeeded. A program that is missing did not. */
function run(...[program = "", ...args]: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

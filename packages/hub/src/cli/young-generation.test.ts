import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";

const MEGABYTE = 1024 * 1024;

test("the memory of young objects stays near its bound while more and more of them live on", async () => {
  const free = await youngBytesUnderLoad("");
  const limited = await youngBytesUnderLoad(`limitYoungGeneration(${4 * MEGABYTE});`);

  assert.ok(limited <= 8 * MEGABYTE, `${limited} bytes with the bound`);
  assert.ok(free >= 2 * limited, `${free} bytes without it`);
});

/** In a process of its own: the bound is V8's, so it holds for all of a process. */
async function youngBytesUnderLoad(before: string): Promise<number> {
  const script = `
    import { setImmediate as turn } from "node:timers/promises";
    import { limitYoungGeneration, youngBytes } from ${JSON.stringify(new URL("young-generation.ts", import.meta.url).href)};
    ${before}
    const kept = [];
    for (let n = 0; n < 400; n += 1) {
      for (let i = 0; i < 1000; i += 1) kept[(n * 1000 + i) % 50_000] = { n, i, list: [n, i] };
      await turn();
    }
    process.stdout.write(String(youngBytes()));
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return Number(said);
}

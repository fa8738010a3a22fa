// `npm run bench`: the hub beside its peers, on the same engine, in the same minutes. See USAGE in options.ts.
import { parseOptions, USAGE } from "./options.ts";
import { runBench } from "./run-bench.ts";

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options === undefined) {
      process.stdout.write(USAGE);
      return 0;
    }
    return await runBench(options, process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? describe(error) : String(error)}\n`);
    return error instanceof TypeError ? 2 : 1;
  }
}

function describe(error: Error): string {
  return error.cause instanceof Error ? `${error.message}\n  because: ${describe(error.cause)}` : error.message;
}

import { once } from "node:events";
import { createServer } from "node:net";

import { Problem } from "./problem.ts";

/** @throws Problem naming the port and what to do when nothing can listen on it. */
export async function checkPort(port: number, host: string): Promise<void> {
  const server = createServer().listen({ port, host });
  try {
    await once(server, "listening");
  } catch (thrown) {
    const code = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (code === "EACCES")
      throw new Problem(`This user may not open port ${port}. Choose one above 1023: ${again(port)}`);
    if (code !== "EADDRINUSE") throw new Problem(`Nothing can listen on ${host} port ${port} (${String(code)}).`);
    throw new Problem(
      `Port ${port} is taken, perhaps by a Tokilake that runs already. Stop that, or start with another: ${again(port)}`,
    );
  }
  server.close();
  await once(server, "close");
}

function again(port: number): string {
  return `npm start -- --port ${port < 1024 ? 19_981 : (port + 1) % 65_536}`;
}

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { isInstalled } from "../machine/machine.ts";
import { freePort } from "../machine/ports.ts";
import { untilAnswers } from "./answers.ts";
import { CHAT_PATH, NotInstalled, type RunningSystem, type Surroundings, TESTED_CORE } from "./system.ts";

/** nginx of the system as a plain proxy: one process, kept connections, nothing held back. */
export async function startNginx({ programs, enginePort }: Surroundings): Promise<RunningSystem> {
  if (!isInstalled("nginx", "-v")) throw new NotInstalled("not installed: apt-get install nginx");
  const port = await freePort();
  const folder = join(programs.folder, `nginx-${port}`);
  mkdirSync(folder);
  const file = join(folder, "nginx.conf");
  writeFileSync(file, configuration(port, enginePort));
  const program = programs.start({
    name: "nginx",
    command: "nginx",
    args: ["-p", folder, "-c", file, "-e", "stderr"],
    core: TESTED_CORE,
  });
  const system: RunningSystem = {
    name: "nginx",
    pid: program.pid,
    target: () => ({ port, path: CHAT_PATH, headers: {} }),
    stop: () => program.stop(),
  };
  await untilAnswers(system, program);
  return system;
}

// proxy_buffering off: a proxy in front of tokens must not hold them back. One process, so that its CPU is all there is.
function configuration(port: number, enginePort: number): string {
  return `
daemon off;
master_process off;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 12000; }
http {
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream engine {
    server 127.0.0.1:${enginePort};
    keepalive 512;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    keepalive_requests 100000000;
    client_max_body_size 0;
    location / {
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }
  }
}
`;
}

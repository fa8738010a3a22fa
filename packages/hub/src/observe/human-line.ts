import { styleText } from "node:util";

const COLOURS = { debug: "gray", info: "green", warn: "yellow", error: "red" } as const;

type Level = keyof typeof COLOURS;

/** One JSON line of the log for eyes: time, level unless it is info, message, then the fields as `name=value`. */
export function humanLine(line: string, options: { readonly colour: boolean }): string {
  const entry = parse(line);
  if (entry === undefined) return line;
  const { time, level, message, error, ...fields } = entry;
  const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
    options.colour ? styleText(style, text, { validateStream: false }) : text;

  const parts = [paint("gray", clock(time))];
  if (isLevel(level) && level !== "info") parts.push(paint(COLOURS[level], level));
  parts.push(typeof message === "string" ? message : "");
  for (const [name, value] of Object.entries(fields)) parts.push(`${paint("gray", `${name}=`)}${shown(value)}`);
  const failure = errorOf(error);
  if (failure !== undefined) parts.push(`${paint("gray", "error=")}${shown(failure.message)}`);
  // The stack is for a fault of ours; those are logged as errors.
  const stack = level === "error" && failure?.stack !== undefined ? `\n${paint("gray", indented(failure.stack))}` : "";
  return `${parts.join(" ")}${stack}\n`;
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    // Not from the logger; shown as it came.
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isLevel(level: unknown): level is Level {
  return typeof level === "string" && Object.hasOwn(COLOURS, level);
}

function clock(time: unknown): string {
  return new Date(typeof time === "number" ? time : 0).toTimeString().slice(0, 8);
}

/** Quoted when it has blanks or anything that could move the cursor: values may come from clients. */
function shown(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return typeof value === "string" && !/^[\w.:/@+*%,~-]+$/.test(text) ? JSON.stringify(text) : text;
}

function errorOf(error: unknown): { message: string; stack?: string } | undefined {
  if (error === undefined) return undefined;
  if (!isRecord(error)) return { message: shown(error) };
  const { message, stack } = error;
  return {
    message: typeof message === "string" ? message : shown(message),
    ...(typeof stack === "string" ? { stack } : {}),
  };
}

function indented(stack: string): string {
  return stack
    .split("\n")
    .slice(1)
    .map((line) => `    ${line.trim()}`)
    .join("\n");
}

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import type { AppError } from "../errors.ts";
import { MemoryBudget } from "./memory-budget.ts";
import { MESSAGE_MEMORY, MessageMemory } from "./message-memory.ts";

function startMemory(maxBytes: number): { budget: MemoryBudget; memory: MessageMemory; told: string[] } {
  const budget = new MemoryBudget(maxBytes);
  const told: string[] = [];
  const tell = (error: AppError): void => void told.push(error.code);
  return { budget, told, memory: new MessageMemory(budget, { onFull: tell, onSlow: tell }) };
}

test("what is above 64 KiB is counted, pings between the parts of a message are not", () => {
  const { budget, memory } = startMemory(1_000_000);
  const used: number[] = [];
  const look = (act: () => void): void => {
    act();
    used.push(budget.usedBytes);
  };

  look(() => memory.arrived(65_536));
  look(() => memory.arrived(10 + 6));
  memory.passedControl(10);
  look(() => memory.arrived(100_000));
  look(() => memory.waits(1_000));
  look(() => memory.completed());
  look(() => memory.waits(200_000));
  look(() => memory.release());

  assert.deepEqual(used, [0, 65_552, 165_536, 166_536, 0, 200_000, 0]);
});

test("when no memory is left it is told once, and what was taken comes back at the end", () => {
  const { budget, memory, told } = startMemory(100_000);

  memory.arrived(90_000);
  memory.arrived(20_000);
  memory.arrived(20_000);
  const used = budget.usedBytes;
  memory.release();

  assert.deepEqual([told, used, budget.usedBytes], [["overloaded"], 90_000, 0]);
});

test("a large message must be whole in two minutes, unless the client is held back", (t: TestContext) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { memory, told } = startMemory(1_000_000);

  memory.arrived(70_000);
  t.mock.timers.tick(MESSAGE_MEMORY.completeMs - 1);
  memory.completed();
  memory.arrived(70_000);
  memory.waits(1);
  t.mock.timers.tick(MESSAGE_MEMORY.completeMs);
  memory.waits(0);
  assert.deepEqual(told, []);
  t.mock.timers.tick(MESSAGE_MEMORY.completeMs);

  assert.deepEqual(told, ["request_timeout"]);
});

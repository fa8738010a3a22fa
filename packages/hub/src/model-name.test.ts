import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";

import { foldedModelName, isMisleadingModelName } from "./model-name.ts";

/** The zero width space, where it is seen. */
const ZERO_WIDTH = "\u200b";

test("spellings of one name fold to the same, other names do not", () => {
  for (const spelling of ["LLAMA3:8B", "Llama3:8b", "ｌｌａｍａ３：８ｂ", "𝐥𝐥𝐚𝐦𝐚3:8b", "Ⓛlama³:8b"]) {
    assert.equal(foldedModelName(spelling), "llama3:8b", spelling);
  }
  assert.equal(foldedModelName("MODELE\u0301"), foldedModelName("modelé"));
  assert.notEqual(foldedModelName("llama3"), foldedModelName("llama-3"));
  assert.notEqual(foldedModelName("modele"), foldedModelName("modelé"));
});

test("names as people write them mislead nobody, in whatever language", () => {
  for (const model of [
    "gpt-oss:20b",
    "org/Qwen3-8B_Q4.K+M (new)",
    "modèle-français",
    "größe",
    "модель-ёлка",
    "αθηνα-2",
    "通义千问-qwen",
    "日本語モデル-7b",
    "モデルー",
    "한국어-llm",
    "हिन्दी",
    "🐳-model",
    "ｇｐｔ-oss",
  ]) {
    assert.equal(isMisleadingModelName(model), false, model);
  }
});

test("a name misleads when something in it does not show, or looks like a letter or sign that it is not", () => {
  for (const model of [
    `gpt${ZERO_WIDTH}-oss`,
    "gpt\u034f-oss",
    "gpt\ufe0f-oss",
    "gpt\u3164oss",
    "gpt\u2800oss",
    "gpt\u0007oss",
    "gpt\ud800oss",
    "gpt\ue000oss",
    "gpt-\u043ess",
    "gpt-\u03bfss",
    "\u0261pt-oss",
    "\u13c0pt-oss",
    "gpt\u2010oss",
    "gpt\u2212oss",
    "org\u2044gpt",
    "llama3\ua7898b",
    "llama3\u02d08b",
    "\u043e3",
    "\u039f\u0399",
    "\ufdfa".repeat(85),
  ]) {
    assert.equal(isMisleadingModelName(model), true, JSON.stringify(model));
  }
});

const anyName = fc.string({ unit: "binary", minLength: 1, maxLength: 40 });

test("a folded name folds to itself, and stays well below what an index takes", () => {
  fc.assert(
    fc.property(anyName, (model) => {
      const folded = foldedModelName(model);
      assert.equal(foldedModelName(folded), folded);
      assert.ok(isMisleadingModelName(model) || Buffer.byteLength(folded) <= 1024);
    }),
  );
});

/** What looks like a character, or like nothing beside it. */
const LOOKS_LIKE: Readonly<Record<string, readonly string[]>> = {
  a: ["\u0430", "\uff41", "\u{1d41a}", "A", "a\u200d"],
  e: ["\u0435", "\uff45", "E", "\u2060e"],
  o: ["\u043e", "\u03bf", "\uff4f", "o\u00ad"],
  p: ["\u0440", "\u03c1", "\uff30"],
  x: ["\u0445", "\u2179", "X"],
  "-": ["\u2010", "\u2011", "\uff0d", "\u2212", "\u02d7"],
  ":": ["\uff1a", "\u2236", "\ua789", "\u02d0"],
  "/": ["\uff0f", "\u2044", "\u2215"],
  ".": ["\u2024", "\uff0e"],
  "7": ["\uff17", "\u{1d7d5}"],
};

const lookAlikes = fc
  .array(fc.constantFrom(...Object.keys(LOOKS_LIKE)), { minLength: 2, maxLength: 20 })
  .filter((characters) => characters.some((character) => /[a-z]/.test(character)))
  .chain((characters) =>
    fc.tuple(
      fc.constant(characters.join("")),
      fc
        .tuple(...characters.map((character) => fc.constantFrom(character, ...(LOOKS_LIKE[character] ?? []))))
        .map((imitated) => imitated.join("")),
    ),
  );

test("an imitation of a name is the same claim, or misleads", () => {
  fc.assert(
    fc.property(lookAlikes, ([name, imitation]) => {
      assert.ok(isMisleadingModelName(imitation) || foldedModelName(imitation) === foldedModelName(name), imitation);
    }),
  );
});

import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";

const root = dirname(import.meta.dirname);
const documents = globSync(["*.md", "docs/**/*.md", "packages/*/README.md"], { cwd: root });

for (const document of documents) {
  test(`${document} names only paths that exist`, () => {
    const text = readFileSync(join(root, document), "utf8");

    const missing = [...linksOf(text).map((link) => join(dirname(document), link)), ...quotedPathsOf(text)].filter(
      (path) => !existsSync(join(root, path)),
    );

    assert.deepEqual(missing, []);
  });
}

/** Targets of relative Markdown links, without their anchors. */
function linksOf(text: string): string[] {
  return [...text.matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)/g)].map((match) => match[1] ?? "");
}

/** Paths of this repository in backquotes: they begin with one of its folders and hold no placeholder. */
function quotedPathsOf(text: string): string[] {
  return [...text.matchAll(/`((?:packages|e2e|bench|docs|scripts)\/[\w./-]+)`/g)].map((match) => match[1] ?? "");
}

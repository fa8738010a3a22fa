// Loaded into the hub before its own code, so that memory in use can be told from garbage that nobody collected yet.
// Needs --expose-gc.
process.on("SIGUSR2", () => {
  // Twice: the first run finds what the second may free.
  globalThis.gc?.();
  globalThis.gc?.();
});

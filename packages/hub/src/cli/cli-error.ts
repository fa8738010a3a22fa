/** A mistake in how the program was called. Exit code 2; any other failure is 1. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something the person at the terminal can mend. The message is one line that ends with the next step. Exit code 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

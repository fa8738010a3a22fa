/** Tokens of one sequence. The model was trained on 256; more is allowed, so that a test can have a long answer. */
export const CONTEXT_LENGTH = 2048;

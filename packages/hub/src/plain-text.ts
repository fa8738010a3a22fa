/** Controls of a terminal and of the direction of writing: they would let a text look like another, or take more than its line. */
const CONTROL = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/** Whether a text is one line that shows as what it is. */
export function isPlain(text: string): boolean {
  return !CONTROL.test(text);
}

/** The text without whatever makes it not plain. */
export function plainOf(text: string): string {
  return text.toWellFormed().replaceAll(new RegExp(CONTROL, "gu"), "");
}

/** Something that the person at the terminal can mend, in one line. */
export class Problem extends Error {
  override readonly name = "Problem";
}

/** Bytes of a name's folded form. Some single characters become eighteen, and an index of PostgreSQL takes 2.7 KB. */
const MAX_FOLDED_BYTES = 1024;

const ASCII = /^[\x20-\x7e]*$/;

/** Does not show, or is no character (yet): what it looks like is up to the font. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/v;

/** Hyphens, colons, slashes, blanks and letters of phonetic alphabets that look like those of a keyboard. */
const ODD_SIGN = /[[[\p{P}\p{Sm}\p{Sk}\p{Zs}[\p{Lm}&&\p{Script=Common}]]--[\p{ASCII}ー]]\u0250-\u02af\u1d00-\u1d7f]/v;

const LATIN = /\p{Script=Latin}/v;

/** Letters that stand beside Latin ones in nobody's writing. In names of East Asia both are common, and not alike. */
const FOREIGN_TO_LATIN =
  /[\p{L}--[\p{Script=Latin}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Bopomofo}\p{Script=Hangul}\p{Script=Common}\p{Script=Inherited}]]/v;

/** All letters, of which there are some, are Cyrillic or Greek ones that look Latin: an "о3" that is no o3. */
const LOOKS_LATIN = /^(?=.*\p{L})[\P{L}аАВсСԁеЕҽһНіІјЈКӏМорОРԛԚѕЅТуУѵѴԝԜхХүҮΑΒΕΖΗΙΚΜΝΟΡΤΥΧιοκνρυχ]*$/sv;

/** The same for names that only differ in case, width or form: which of them was meant nobody sees, or few remember. */
export function foldedModelName(model: string): string {
  // Lower case may undo the normal form.
  return ASCII.test(model) ? model.toLowerCase() : model.normalize("NFKC").toLowerCase().normalize("NFKC");
}

/**
 * Whether the name is not what it looks like: something in it does not show, or it has letters or signs of another alphabet that
 * look like those of this one. A table of all that looks alike it is not: l and 1 are for people to tell apart.
 */
export function isMisleadingModelName(model: string): boolean {
  if (ASCII.test(model)) return false;
  const normal = model.normalize("NFKC");
  if (UNSEEN.test(model) || ODD_SIGN.test(normal) || LOOKS_LATIN.test(normal)) return true;
  if (LATIN.test(normal) && FOREIGN_TO_LATIN.test(normal)) return true;
  return Buffer.byteLength(foldedModelName(model)) > MAX_FOLDED_BYTES;
}

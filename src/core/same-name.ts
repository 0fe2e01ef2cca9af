/**
 * When two names are one. `é` may be written as one character, or as a letter and an accent. Keyboards, file systems
 * and languages differ in which of the two they write. Names are compared in the composed form (NFC), and given back as
 * they were sent.
 * @see https://www.unicode.org/reports/tr15/
 */

/** What names are compared by. */
export function nameKey(name: string): string {
  return name.normalize('NFC');
}

/** The index of the first name of a list that is the same as one before it; -1: none is. */
export function repeatedName(names: readonly string[]): number {
  const seen = new Set<string>();
  return names.findIndex((name) => seen.size === seen.add(nameKey(name)).size);
}

/** A key of an object that is the same as this one, as the object writes it; undefined: it has none. */
export function keyedAs(object: Readonly<Record<string, unknown>>, key: string): string | undefined {
  if (Object.hasOwn(object, key)) return key;
  const wanted = nameKey(key);
  return Object.keys(object).find((each) => nameKey(each) === wanted);
}

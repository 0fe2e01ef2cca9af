/** Text of the headers of recordings, whatever wrote it. */

/** Longest label of a channel and longest text about one that a series takes. */
const MAX_LABEL_CHARS = 200;
const MAX_ABOUT_CHARS = 500;

/** UTF-8 if it is, else Windows-1252, which is Latin-1 for all that is printed. A byte order mark is left out. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('latin1').decode(bytes);
  }
}

/** One line without control characters and outer spaces. */
export function oneLine(text: string, maxChars = MAX_ABOUT_CHARS): string {
  const line = text.replace(/\p{Cc}+/gu, ' ').trim();
  return line.length <= maxChars
    ? line
    : line
        .slice(0, maxChars)
        .replace(/[\uD800-\uDBFF]$/, '')
        .trim();
}

/** @param fallback where the file has no label */
export function labelText(text: string, fallback: string): string {
  return oneLine(text, MAX_LABEL_CHARS) || fallback;
}

/** Text of a field of fixed length, which NULs or spaces fill up. */
export function fieldText(bytes: Uint8Array, from: number, length: number): string {
  const field = bytes.subarray(from, from + length);
  const end = field.indexOf(0);
  return oneLine(decodeText(end < 0 ? field : field.subarray(0, end)));
}

/** Part of an object, where the text says something. */
export function said<Name extends string>(name: Name, text: string): { readonly [key in Name]?: string } {
  return text === '' ? {} : ({ [name]: text } as { readonly [key in Name]: string });
}

/** Names in a sentence: all of a few, or the first ones and how many more. */
export function someOf(names: readonly string[], most = 5): string {
  const shown = names.slice(0, most).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}

/** The unit that all channels have; null: they differ, or have none. */
export function commonUnit(channels: readonly { readonly unit?: string }[]): string | null {
  const units = new Set(channels.map(({ unit }) => unit));
  const [unit] = units;
  return units.size === 1 && unit !== undefined ? unit : null;
}

/** The decimal number that a float32 was made of: 33.3 of 33.29999923706055. */
export function shortestFloat32(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

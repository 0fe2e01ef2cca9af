/** The key under which an append is stored once: the client's own, or a source and its sequence number, or that of a request and the line of it. */

const KEY = /^[\x21-\x7e]{1,255}$/;
/** What a client says of {@link isKey}. */
export const KEY_FORM = '1 to 255 visible ASCII characters';

/** True of what a client may use as a key of its own. */
export function isKey(text: string): boolean {
  return KEY.test(text);
}

/**
 * The key that stands for a pair. No key of a header has a space, so the two kinds never meet.
 * @param source text of the client's; may have spaces
 */
export function keyOfPair(source: string, sequence: bigint): string {
  return `${sequence} ${source}`;
}

/**
 * The key of an item that has none of its own, in a request that has one. It begins with a space, as no other does.
 * @param line of the item, from 1
 */
export function keyOfLine(key: string, line: number): string {
  return ` ${line} ${key}`;
}

/** What a client calls the key. */
export function fieldOfKey(key: string): 'Idempotency-Key' | 'sequence' {
  return key.indexOf(' ') > 0 ? 'sequence' : 'Idempotency-Key';
}

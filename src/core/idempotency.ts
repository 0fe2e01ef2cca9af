/** The key under which an append is stored once: the client's own, or a source and its sequence number. */

/**
 * The key that stands for a pair. No key of a header has a space, so the two kinds never meet.
 * @param source text of the client's; may have spaces
 */
export function keyOfPair(source: string, sequence: bigint): string {
  return `${sequence} ${source}`;
}

/** The key of a line, in a request that has one key for all of its lines. It meets neither of the other kinds. */
export function keyOfLine(key: string, line: number): string {
  return `#${line} ${key}`;
}

/** What a client calls the key. */
export function fieldOfKey(key: string): 'Idempotency-Key' | 'sequence' {
  if (key.startsWith('#') && key.includes(' ')) return 'Idempotency-Key';
  return key.includes(' ') ? 'sequence' : 'Idempotency-Key';
}

/** The key under which an append is stored once: the client's own, or a source and its sequence number. */

/**
 * The key that stands for a pair. No key of a header has a space, so the two kinds never meet.
 * @param source text of the client's; may have spaces
 */
export function keyOfPair(source: string, sequence: bigint): string {
  return `${sequence} ${source}`;
}

/** What a client calls the key. */
export function fieldOfKey(key: string): 'Idempotency-Key' | 'sequence' {
  return key.includes(' ') ? 'sequence' : 'Idempotency-Key';
}

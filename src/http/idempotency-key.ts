/** What makes a retry store once: the Idempotency-Key header, a client's own name for one append, or its source and sequence number. */
import { invalidField } from '../core/errors.ts';
import { keyOfPair } from '../core/idempotency.ts';

const KEY = /^[\x21-\x7e]{1,255}$/;

/** @throws invalid-input naming the header unless it is 1 to 255 visible ASCII characters */
export function parseIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (!KEY.test(header)) throw invalidField('Idempotency-Key', 'must be 1 to 255 visible ASCII characters');
  return header;
}

/**
 * The key of a request.
 * @throws invalid-input if the header is malformed, or given beside the pair
 */
export function keyOfAppend(
  header: string | undefined,
  { source, sequence }: { source?: string; sequence?: bigint },
): string | null {
  const key = parseIdempotencyKey(header);
  if (source === undefined || sequence === undefined) return key;
  if (key !== null) throw invalidField('Idempotency-Key', 'excludes source and sequence');
  return keyOfPair(source, sequence);
}

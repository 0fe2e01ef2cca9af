/** The Idempotency-Key header: a client's own name for one append. */
import { invalidField } from '../core/errors.ts';

const KEY = /^[\x21-\x7e]{1,255}$/;

/** @throws invalid-input naming the header unless it is 1 to 255 visible ASCII characters */
export function parseIdempotencyKey(header: string | undefined): string | null {
  if (header === undefined) return null;
  if (!KEY.test(header)) throw invalidField('Idempotency-Key', 'must be 1 to 255 visible ASCII characters');
  return header;
}

/** What makes a retry store once: the Idempotency-Key header, a client's own name for one append, or its source and sequence number. */
import type { Request } from 'express';
import { z } from 'zod';
import { invalidField } from '../../core/errors.ts';
import { keyOfPair } from '../../core/idempotency.ts';
import type { Once } from '../../flows/series/series-service.ts';

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

/**
 * The key of a request that is no append: the header, and a hash of what was asked. @throws invalid-input naming the
 * header
 */
export function onceOf(req: Pick<Request, 'get'>, contentHash: () => Buffer): Once | null {
  const key = parseIdempotencyKey(req.get('idempotency-key'));
  return key === null ? null : { key, contentHash: contentHash() };
}

export const KEY_HEADER = z.object({
  'Idempotency-Key': z.string().optional().meta({
    description:
      'A second request with this key gets the first one’s answer, for at least 24 hours; with other content it is a 422',
  }),
});

export const LINES_KEY_HEADER = z.object({
  'Idempotency-Key': z.string().optional().meta({
    description:
      'Stands, together with its line, for the key of each item that has no `idempotency_key`. A request sent again stores only what the first one did not',
  }),
});

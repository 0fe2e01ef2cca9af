/** Opaque cursors: where a page ended, tied to the question it belongs to. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { invalidField } from '../../core/errors.ts';
import { searchParamsOf } from './query.ts';

const cursorContent = z.strictObject({ of: z.string(), after: z.unknown() });

/**
 * Makes the path of the same request, continued.
 * @param position of the last item, as plain JSON
 * @returns a path with query
 */
export function nextLink(url: string, position: unknown): string {
  const params = searchParamsOf(url);
  params.set('cursor', makeCursor(questionIn(url), position));
  return `${pathOf(url)}?${params.toString()}`;
}

/**
 * The position a cursor of {@link nextLink} holds; null for none.
 * @throws invalid-input naming `cursor` if it is no cursor, or one of another question
 */
export function openCursor<S extends z.ZodType>(
  url: string,
  cursor: string | undefined,
  position: S,
): z.output<S> | null {
  return openCursorOf(questionIn(url), cursor, position);
}

/** Makes a cursor for a question that is no link. @param question what a page belongs to, as text */
export function makeCursor(question: string, position: unknown): string {
  return Buffer.from(JSON.stringify({ of: fingerprint(question), after: position })).toString('base64url');
}

/** The position a cursor of {@link makeCursor} holds; null for none. @throws as {@link openCursor} */
export function openCursorOf<S extends z.ZodType>(
  question: string,
  cursor: string | undefined,
  position: S,
): z.output<S> | null {
  if (cursor === undefined) return null;
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    throw invalidField('cursor', 'is not a cursor of this service');
  }
  const parsed = cursorContent.safeParse(content);
  const after = position.safeParse(parsed.data?.after);
  if (!parsed.success || !after.success) throw invalidField('cursor', 'is not a cursor of this service');
  if (parsed.data.of !== fingerprint(question))
    throw invalidField('cursor', 'belongs to a request with other parameters');
  return after.data;
}

/** Path and parameters in any order; a page may change its size. */
function questionIn(url: string): string {
  const params = searchParamsOf(url);
  params.delete('cursor');
  params.delete('limit');
  params.sort();
  return `${pathOf(url)}?${params.toString()}`;
}

function fingerprint(question: string): string {
  return createHash('sha256').update(question).digest('base64url').slice(0, 12);
}

function pathOf(url: string): string {
  return url.replace(/\?.*/s, '');
}

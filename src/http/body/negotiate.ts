/** Which format samples come in, and which format, and which part of it, they go out in. */
import type { Request } from 'express';
import { VarveError } from '../../core/errors.ts';
import type { ChosenPart } from '../../flows/read/read-service.ts';
import {
  HDF5_FILE,
  mediaTypeOf,
  WIRE_FORMATS,
  type AnswerFormatName,
  type WireFormatName,
} from '../../formats/samples/wire-formats.ts';

const BODY_FORMATS = Object.keys(WIRE_FORMATS) as WireFormatName[];
/** In order of preference where a client accepts several alike: JSON first. */
export const ANSWER_FORMATS: readonly AnswerFormatName[] = [...BODY_FORMATS, HDF5_FILE.name];
export const BODY_MEDIA_TYPES: readonly string[] = BODY_FORMATS.map(mediaTypeOf);
export const ANSWER_MEDIA_TYPES: readonly string[] = ANSWER_FORMATS.map(mediaTypeOf);

/** The format a body is in. @throws unsupported-media-type listing what is read */
export function formatOfBody(contentType: string | undefined): WireFormatName {
  const mediaType = (contentType ?? '').replace(/;.*/s, '').trim().toLowerCase();
  const format = BODY_FORMATS.find((name) => mediaTypeOf(name) === mediaType);
  if (format) {
    refuseCharset(contentType ?? '');
    return format;
  }
  const message = `${contentType === undefined ? 'is missing' : 'is not read here'}; read are ${BODY_MEDIA_TYPES.join(', ')}`;
  throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
    errors: [{ field: 'Content-Type', message }],
  });
}

/** Texts are UTF-8, of which ASCII is a part. @throws unsupported-media-type */
function refuseCharset(contentType: string): void {
  const charset = /;\s*charset\s*=\s*"?([^\s;"]*)/i.exec(contentType)?.[1];
  if (charset === undefined || /^(utf-?8|(us-)?ascii)$/i.test(charset)) return;
  const message = 'has a character set other than UTF-8';
  throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
    errors: [{ field: 'Content-Type', message }],
  });
}

/**
 * The format to answer in: the one that the client accepts best, by q-value and then by the more specific range. The
 * first of those offered wins a tie.
 * @throws not-acceptable listing what is offered
 */
export function formatToSend<F extends AnswerFormatName>(req: Pick<Request, 'accepts'>, offered: readonly F[]): F {
  const mediaTypes = offered.map(mediaTypeOf);
  const best = req.accepts(mediaTypes);
  const format = offered.find((name) => mediaTypeOf(name) === best);
  if (format) return format;
  const message = `accepts none of ${mediaTypes.join(', ')}`;
  throw new VarveError('not-acceptable', `Accept: ${message}`, { errors: [{ field: 'Accept', message }] });
}

/** One range of bytes: from … to, from … on, or the last so many. */
const BYTE_RANGE = /^bytes=\s*(?:(\d+)-(\d*)|-(\d+))\s*$/i;

/**
 * The part of a body that a request asks for; null for all of it. Null is also the answer to a Range that cannot be
 * understood, names several parts, or holds for another version of the body.
 * @param tag strong, of the body
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-14.2
 */
export function partToSend(req: Pick<Request, 'get'>, bytes: number, tag: string): ChosenPart {
  const [range, first, last, suffix] = BYTE_RANGE.exec(req.get('range') ?? '') ?? [];
  const ifRange = req.get('if-range');
  if (range === undefined || (ifRange !== undefined && ifRange.trim() !== tag)) return null;
  if (last && Number(last) < Number(first)) return null;
  const from = suffix === undefined ? Number(first) : Math.max(0, bytes - Number(suffix));
  const to = last ? Math.min(bytes, Number(last) + 1) : bytes;
  return from < to ? { from, to } : 'unsatisfiable';
}

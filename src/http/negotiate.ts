/** Which format samples come in, and which they go out in. */
import type { Request } from 'express';
import { VarveError } from '../core/errors.ts';
import { WIRE_FORMATS, type WireFormatName } from '../formats/wire-formats.ts';

/** In order of preference where a client accepts several alike: JSON first. */
export const FORMAT_NAMES = Object.keys(WIRE_FORMATS) as [WireFormatName, ...WireFormatName[]];
export const SAMPLE_MEDIA_TYPES: readonly string[] = FORMAT_NAMES.map((name) => WIRE_FORMATS[name].mediaType);

function formatOf(mediaType: string): WireFormatName | undefined {
  return FORMAT_NAMES.find((name) => WIRE_FORMATS[name].mediaType === mediaType);
}

/**
 * The format a body is in.
 * @throws unsupported-media-type listing what is read
 */
export function formatOfBody(contentType: string | undefined): WireFormatName {
  const format = formatOf((contentType ?? '').split(';')[0].trim().toLowerCase());
  if (format) return format;
  const message = `${contentType === undefined ? 'is missing' : 'is not read here'}; read are ${SAMPLE_MEDIA_TYPES.join(', ')}`;
  throw new VarveError('unsupported-media-type', `Content-Type: ${message}`, {
    errors: [{ field: 'Content-Type', message }],
  });
}

/**
 * The format to answer in: what the client accepts best (q-values, then the more specific range), JSON if all is the same.
 * @throws not-acceptable listing what is offered
 */
export function formatToSend(req: Pick<Request, 'accepts'>): WireFormatName {
  const best = req.accepts([...SAMPLE_MEDIA_TYPES]);
  const format = best === false ? undefined : formatOf(best);
  if (format) return format;
  const message = `accepts none of ${SAMPLE_MEDIA_TYPES.join(', ')}`;
  throw new VarveError('not-acceptable', `Accept: ${message}`, { errors: [{ field: 'Accept', message }] });
}

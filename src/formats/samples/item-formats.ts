/** The formats in which rows of many series come in one body. */
import { decodeArrowItems } from './arrow-items.ts';
import { decodeItemLines } from './item-lines.ts';
import type { ReadItem } from './sample-items.ts';
import { WIRE_FORMATS } from './wire-formats.ts';

export type ItemFormatName = 'ndjson' | 'arrow-stream';

/** A series a line, or a column that says of each row which series it is for. */
type DecodeItems = (source: AsyncIterable<Uint8Array>) => Promise<ReadItem[]>;

export const ITEM_FORMATS: Readonly<Record<ItemFormatName, { mediaType: string; decode: DecodeItems }>> = {
  ndjson: { mediaType: WIRE_FORMATS.ndjson.mediaType, decode: decodeItemLines },
  'arrow-stream': { mediaType: WIRE_FORMATS['arrow-stream'].mediaType, decode: decodeArrowItems },
};

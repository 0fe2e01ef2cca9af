/** The formats in which rows of many series come, by name and by media type. */
import { readArrowItems } from './arrow-items.ts';
import type { BadItem, BodyItem } from './body-item.ts';
import { readNdjsonItems } from './ndjson-items.ts';
import { WIRE_FORMATS } from './wire-formats.ts';

export type ItemFormatName = 'ndjson' | 'arrow-stream';

interface ItemFormat {
  readonly mediaType: string;
  /** Items of a whole body, the bad ones in their places. @throws `invalid-input` or `limit-exceeded` for what is wrong with the body as a whole */
  readonly read: (source: AsyncIterable<Uint8Array>) => Promise<(BodyItem | BadItem)[]>;
}

export const ITEM_FORMATS: Readonly<Record<ItemFormatName, ItemFormat>> = {
  ndjson: { mediaType: WIRE_FORMATS.ndjson.mediaType, read: readNdjsonItems },
  'arrow-stream': { mediaType: WIRE_FORMATS['arrow-stream'].mediaType, read: readArrowItems },
};

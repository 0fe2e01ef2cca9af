/** The formats samples travel in over HTTP, by name and by media type. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../../core/signal/batch.ts';
import { encodeArrowFile, encodeArrowStream } from './arrow.ts';
import { decodeArrow } from './arrow-decode.ts';
import { MAX_ARROW_BODY_BYTES } from '../binary/arrow-messages.ts';
import { decodeCsv, encodeCsv } from './csv.ts';
import type { EpochUnit } from '../text/epoch-text.ts';
import { JSON_COPIES } from '../text/exact-json.ts';
import { decodeJson, encodeJson, MAX_JSON_BODY_BYTES, type Orient } from './json.ts';
import { decodeNdjson, encodeNdjson } from './ndjson.ts';
import { decodeNpy, encodeNpy } from './npy.ts';
import { decodeOctets, encodeOctets } from './octets.ts';

export type WireFormatName = 'json' | 'ndjson' | 'csv' | 'npy' | 'octet' | 'arrow' | 'arrow-stream';

/** What a reader may choose within a format. */
export interface Spelling {
  /** CSV: times as numbers of this unit; by default RFC 3339. */
  readonly epoch?: EpochUnit;
  /** JSON: `values` as one list for each row (the default), or for each channel. */
  readonly orient?: Orient;
}

export interface WireFormat {
  readonly name: WireFormatName;
  readonly mediaType: string;
  /** Worth compressing. */
  readonly isText: boolean;
  /** Values lie in it as they lie in the shards, and only irregular series have times. The others carry a time on every row. */
  readonly isPacked: boolean;
  /** Bytes of a body that are in memory at once, at most, because they can be read only together. */
  readonly heldBytes: number;
  /** What each of these takes, with what is made of it. */
  readonly heldCopies: number;
  /** Never written on the main thread, however little it is: its library takes long to load. */
  readonly inThread: boolean;
  /** Samples of a request's body. The order of times is not looked at. */
  readonly decode: (source: AsyncIterable<Uint8Array>, shape: SampleShape) => AsyncGenerator<Batch>;
  readonly encode: (
    batches: AsyncIterable<OutBatch>,
    shape: OutShape,
    spelling?: Spelling,
  ) => AsyncGenerator<Uint8Array>;
}

const TEXT = { isText: true, isPacked: false, heldBytes: 0, heldCopies: 1, inThread: false } as const;
const PACKED = { isText: false, isPacked: true, heldBytes: 0, heldCopies: 1, inThread: false } as const;
/** A message as it came, and joined. */
const COLUMNS = {
  isText: false,
  isPacked: false,
  heldBytes: MAX_ARROW_BODY_BYTES,
  heldCopies: 2,
  inThread: true,
} as const;

export const WIRE_FORMATS: Readonly<Record<WireFormatName, WireFormat>> = {
  json: {
    name: 'json',
    mediaType: 'application/json',
    ...TEXT,
    heldBytes: MAX_JSON_BODY_BYTES,
    heldCopies: JSON_COPIES,
    decode: decodeJson,
    encode: encodeJson,
  },
  ndjson: { name: 'ndjson', mediaType: 'application/x-ndjson', ...TEXT, decode: decodeNdjson, encode: encodeNdjson },
  csv: { name: 'csv', mediaType: 'text/csv', ...TEXT, decode: decodeCsv, encode: encodeCsv },
  npy: { name: 'npy', mediaType: 'application/x-npy', ...PACKED, decode: decodeNpy, encode: encodeNpy },
  octet: {
    name: 'octet',
    mediaType: 'application/octet-stream',
    ...PACKED,
    decode: decodeOctets,
    encode: encodeOctets,
  },
  arrow: {
    name: 'arrow',
    mediaType: 'application/vnd.apache.arrow.file',
    ...COLUMNS,
    decode: decodeArrow,
    encode: encodeArrowFile,
  },
  'arrow-stream': {
    name: 'arrow-stream',
    mediaType: 'application/vnd.apache.arrow.stream',
    ...COLUMNS,
    decode: decodeArrow,
    encode: encodeArrowStream,
  },
};

/** A file that is written whole before it is sent; samples do not come in it. */
export const HDF5_FILE = { name: 'hdf5', mediaType: 'application/x-hdf5', isText: false } as const;

/** What samples can be answered in. */
export type AnswerFormatName = WireFormatName | typeof HDF5_FILE.name;

export function isFile(format: AnswerFormatName): format is typeof HDF5_FILE.name {
  return format === HDF5_FILE.name;
}

export function mediaTypeOf(format: AnswerFormatName): string {
  return isFile(format) ? HDF5_FILE.mediaType : WIRE_FORMATS[format].mediaType;
}

/** The formats samples travel in over HTTP, by name and by media type. */
import type { Batch, OutBatch, OutShape, SampleShape } from '../core/batch.ts';
import { decodeCsv, encodeCsv } from './csv.ts';
import { decodeJson, encodeJson } from './json.ts';
import { decodeNdjson, encodeNdjson } from './ndjson.ts';
import { decodeNpy, encodeNpy } from './npy.ts';
import { decodeOctets, encodeOctets } from './octets.ts';

export type WireFormatName = 'json' | 'ndjson' | 'csv' | 'npy' | 'octet';

export interface WireFormat {
  readonly name: WireFormatName;
  readonly mediaType: string;
  /** Text carries a time on every row and is worth compressing; binary formats only carry the times of irregular series. */
  readonly isText: boolean;
  /** Samples of a request's body. The order of times is not looked at. */
  readonly decode: (source: AsyncIterable<Uint8Array>, shape: SampleShape) => AsyncGenerator<Batch>;
  readonly encode: (batches: AsyncIterable<OutBatch>, shape: OutShape) => AsyncGenerator<Uint8Array>;
}

export const WIRE_FORMATS: Readonly<Record<WireFormatName, WireFormat>> = {
  json: { name: 'json', mediaType: 'application/json', isText: true, decode: decodeJson, encode: encodeJson },
  ndjson: {
    name: 'ndjson',
    mediaType: 'application/x-ndjson',
    isText: true,
    decode: decodeNdjson,
    encode: encodeNdjson,
  },
  csv: { name: 'csv', mediaType: 'text/csv', isText: true, decode: decodeCsv, encode: encodeCsv },
  npy: { name: 'npy', mediaType: 'application/x-npy', isText: false, decode: decodeNpy, encode: encodeNpy },
  octet: {
    name: 'octet',
    mediaType: 'application/octet-stream',
    isText: false,
    decode: decodeOctets,
    encode: encodeOctets,
  },
};

/** What is stored before the soak begins. */
import { demand, type Service } from './http.ts';

export interface Store {
  /** Path of the samples of a regular series of a million rows. */
  readonly large: string;
  /** Path of the samples of a regular series of many channels. */
  readonly wide: string;
  /** Ids of irregular series whose rows came out of order. */
  readonly disordered: readonly string[];
  /** Paths of the samples of series that are appended to. */
  readonly growing: readonly string[];
}

const LARGE_ROWS = 1_000_000;
const WIDE_CHANNELS = 384;
const WIDE_ROWS = 10_000;
const DISORDERED_SERIES = 4;
const DISORDERED_ROWS = 20_000;
const GROWING_SERIES = 4;

export async function fillStore(service: Service): Promise<Store> {
  const create = async (name: string, sampling: object, more: object = {}): Promise<string> => {
    const body = { name, dtype: 'float64', sampling, tags: { of: 'soak' }, ...more };
    const answer = await demand(service, { method: 'POST', path: '/v1/series', body }, 201);
    return (JSON.parse(answer.body.toString()) as { id: string }).id;
  };
  const append = async (id: string, mediaType: string, body: Uint8Array): Promise<void> => {
    await demand(service, { method: 'POST', path: `/v1/series/${id}/samples`, mediaType, body }, 201);
  };
  const regular = { kind: 'regular', rate_hz: 1000 };
  const large = await create('large', regular);
  const values = Float64Array.from({ length: LARGE_ROWS }, (_, i) => Math.sin(i));
  await append(large, 'application/octet-stream', new Uint8Array(values.buffer));
  const channels = Array.from({ length: WIDE_CHANNELS }, (_, i) => ({ label: `c${i}`, unit: 'uV' }));
  const wide = await create('wide', regular, { dtype: 'int16', channels });
  const counts = Int16Array.from({ length: WIDE_ROWS * WIDE_CHANNELS }, (_, i) => i % 4096);
  await append(wide, 'application/octet-stream', new Uint8Array(counts.buffer));
  const disordered: string[] = [];
  for (let i = 0; i < DISORDERED_SERIES; i++) {
    const id = await create(`disordered-${i}`, { kind: 'irregular' });
    const lines = Array.from({ length: DISORDERED_ROWS }, (_, row) => {
      const ms = (row * 7919) % DISORDERED_ROWS;
      return `{"time":"${ms}000000","values":[${row}]}\n`;
    });
    await append(id, 'application/x-ndjson', Buffer.from(lines.join('')));
    disordered.push(id);
  }
  const growing: string[] = [];
  for (let i = 0; i < GROWING_SERIES; i++) growing.push(`/v1/series/${await create(`growing-${i}`, regular)}/samples`);
  return { large: `/v1/series/${large}/samples`, wide: `/v1/series/${wide}/samples`, disordered, growing };
}

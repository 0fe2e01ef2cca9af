/** Streaming: series of gigabytes in by one request each, and out again; how much memory the service takes, and whether all of it comes back. */
import { crc32 } from 'node:zlib';
import { WrongAnswer } from './answers.ts';
import type { Measurement } from './table.ts';
import { Varve } from './varve.ts';
import { mulberry32, ROW_BYTES } from './workload.ts';

const CONNECTIONS = 4;
const SERIES = 8;
const PIECE_BYTES = 1024 * 1024;
const SEED = 23;
/** Not while it streams: compaction has its own peak, which adds some 100 MB. */
const COMPACT_EVERY_S = 86_400;
const MB = 1e6;
const GB = 1e9;

/** Starts a service of its own; needs three times the space of what it streams. @param gigabytes in, and the same out */
export async function measureStreaming(gigabytes: number, log: (line: string) => void): Promise<Measurement[]> {
  const varve = await Varve.start({ VARVE_COMPACT_EVERY_S: String(COMPACT_EVERY_S) });
  try {
    const pieces = Math.max(1, Math.round((gigabytes * GB) / SERIES / PIECE_BYTES));
    const megabytes = (SERIES * pieces * PIECE_BYTES) / MB;
    const ids: string[] = [];
    for (let i = 0; i < SERIES; i++) ids.push(await varve.createSeries(`stream/${i}`));
    const peaks: { when: string; mb: number | null }[] = [{ when: 'at rest', mb: varve.peakRssMb() }];
    const rates: { measure: string; mbPerS: number }[] = [];
    const all = async (measure: string, when: string, work: (series: number) => Promise<void>): Promise<void> => {
      const seconds = await byConnections(work);
      rates.push({ measure, mbPerS: megabytes / seconds });
      peaks.push({ when, mb: varve.peakRssMb() });
      log(`${measure}: ${seconds.toFixed(1)} s`);
    };
    const sent: number[] = [];
    const byteLength = pieces * PIECE_BYTES;
    await all('in, readable', 'after streaming in', async (series) => {
      const sum = new Sum();
      await varve.appendPieces(ids[series], byteLength, summed(contentOf(series, pieces), sum));
      sent[series] = sum.crc;
    });
    await all('out', 'after streaming out', async (series) => {
      const sum = new Sum();
      await varve.pourOctets(ids[series], (piece) => sum.add(piece));
      if (sum.bytes !== byteLength || sum.crc !== sent[series]) {
        throw new WrongAnswer(`series ${series}: ${sum.bytes} of ${byteLength} bytes came back, or others`);
      }
    });
    const values = `${(megabytes / 1000).toPrecision(3)} GB, ${SERIES} series, ${CONNECTIONS} connections`;
    return [
      ...rates.map(({ measure, mbPerS }) => ({ measure, values, unit: 'MB/s' as const, varve: [mbPerS] })),
      ...peaks.map(({ when, mb }) => ({
        measure: `peak RSS of the service, without Postgres, ${when}`,
        values,
        unit: 'MB' as const,
        varve: mb === null ? [] : [mb],
      })),
    ];
  } finally {
    await varve.stop();
  }
}

/** Every series once, by some connections. @returns seconds */
async function byConnections(work: (series: number) => Promise<void>): Promise<number> {
  const waiting = Array.from({ length: SERIES }).keys();
  const begun = performance.now();
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      for (const series of waiting) await work(series);
    }),
  );
  return (performance.now() - begun) / 1000;
}

/** Random values, with the series and the place in each piece: no piece may stand in for another. */
function* contentOf(series: number, pieces: number): Generator<Buffer> {
  const random = mulberry32(SEED + series);
  const pattern = Buffer.from(Float64Array.from({ length: PIECE_BYTES / ROW_BYTES }, random).buffer);
  for (let piece = 0; piece < pieces; piece++) {
    // A copy: the one before may still wait to be sent.
    const bytes = Buffer.from(pattern);
    bytes.writeDoubleLE(series * pieces + piece, 0);
    yield bytes;
  }
}

function* summed(pieces: Iterable<Buffer>, sum: Sum): Generator<Buffer> {
  for (const piece of pieces) {
    sum.add(piece);
    yield piece;
  }
}

/** A checksum of bytes in their order. */
class Sum {
  bytes = 0;
  crc = 0;

  add(piece: Buffer): void {
    this.bytes += piece.length;
    this.crc = crc32(piece, this.crc);
  }
}

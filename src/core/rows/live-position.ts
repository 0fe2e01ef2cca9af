/** Where a live reader of a series stands: what it has been told, as one short text that a client hands back. Pure. */
import { INT64_MAX, INT64_MIN } from '../time.ts';

export interface LivePosition {
  /** All of this commit and of those before is told. */
  readonly commit: bigint;
  /** Edits that are told. */
  readonly edits: number;
  /** Rows that are told, or passed over, in the order in which they came. */
  readonly rows: number;
  /** The latest time of those; null: there are none. */
  readonly latestNs: bigint | null;
  /** Irregular series: within a chunk that is told in parts, in order of time. Null: at the end of one. */
  readonly within: BegunPlace | null;
}

export interface BegunPlace {
  /** Where the chunk begins, in the order in which rows came. */
  readonly fromRow: number;
  /** The next row to be told: of those of this time, the one after so many. */
  readonly startNs: bigint;
  readonly skip: number;
}

/** Characters of the series' id, so that a position of another series is found out. */
const ID_CHARS = 8;
const NUMBER = /^-?\d{1,19}$/;

export function formatPosition(seriesId: string, position: LivePosition): string {
  const { commit, edits, rows, latestNs, within } = position;
  const parts = [seriesId.slice(-ID_CHARS), commit, edits, rows, latestNs ?? ''];
  if (within) parts.push(within.fromRow, within.startNs, within.skip);
  return parts.join('_');
}

/** What a client says of where it stands: a position, or a commit alone. @returns undefined for any other text; `other`: of another series */
export function parsePosition(
  seriesId: string,
  text: string,
): LivePosition | { readonly after: bigint } | 'other' | undefined {
  if (/^\d{1,18}$/.test(text)) return { after: BigInt(text) };
  const [id, ...parts] = text.split('_');
  if (parts.length !== 4 && parts.length !== 7) return undefined;
  if (!parts.every((part, at) => NUMBER.test(part) || (at === 3 && part === ''))) return undefined;
  const [commit, edits, rows, latest, fromRow, startNs, skip] = parts;
  const numbers = [edits, rows, fromRow ?? '0', skip ?? '0'].map(Number);
  const times = [latest === '' ? '0' : latest, startNs ?? '0', commit].map(BigInt);
  if (numbers.some((number) => !Number.isSafeInteger(number) || number < 0)) return undefined;
  if (times.some((ns) => ns < INT64_MIN || ns > INT64_MAX)) return undefined;
  if (id !== seriesId.slice(-ID_CHARS)) return 'other';
  return {
    commit: BigInt(commit),
    edits: Number(edits),
    rows: Number(rows),
    latestNs: latest === '' ? null : BigInt(latest),
    within: fromRow === undefined ? null : { fromRow: Number(fromRow), startNs: BigInt(startNs), skip: Number(skip) },
  };
}

/** A chunk that a reader has been told a part of, or that a rewriting has made of such rows and others. */
export interface BegunChunk {
  readonly firstRow: number;
  readonly rows: number;
  /** Up to where its rows came. */
  readonly endRow: number;
  /** Rows that readers see before a place, in order of time. */
  readonly before: number;
}

/** Where the rest of a begun chunk begins, if all is as it was supposed. */
export function placeWithin({ rows, latestNs, within }: LivePosition): BegunPlace {
  if (within) return within;
  const startNs = latestNs === null ? INT64_MIN : latestNs < INT64_MAX ? latestNs + 1n : INT64_MAX;
  return { fromRow: rows, startNs, skip: 0 };
}

/**
 * Whether the rows of a begun chunk that lie before the place, in order of time, are exactly those that have been told. None may be missing from the chunk, for
 * another of its time may have taken its place. What came before the chunk that was begun is told as a whole, so it must lie before the place as a whole.
 */
export function isExactly({ rows, latestNs }: LivePosition, place: BegunPlace, chunk: BegunChunk): boolean {
  const isWhole = chunk.rows === chunk.endRow - chunk.firstRow;
  const isOwn = chunk.firstRow >= place.fromRow || latestNs === null || place.startNs > latestNs;
  return isWhole && isOwn && chunk.before === rows - chunk.firstRow;
}

export function later(a: bigint | null, b: bigint | null): bigint | null {
  return a === null || (b !== null && b > a) ? b : a;
}

/**
 * How the rows of one series are put together again from the shards that hold some of them, when nothing but the shards is left. Pure.
 *
 * Each shard tells the truth as of its commit about the rows that it claims, whether or not it was ever swapped in, and however long ago it was replaced. So of
 * each row the newest claim counts, and files that nobody needs any more change nothing.
 */
import { nsOfRow, type Rate } from './rate.ts';
import { clipRows, countRows, uniteRows, withoutRows } from './row-ranges.ts';
import type { RowRange, Segment } from './segment.ts';
import type { SeriesRecord } from './series-record.ts';

/** What one shard says of a series. */
export interface ToldSeries {
  readonly shardId: string;
  readonly commit: bigint;
  readonly level: number;
  readonly record: SeriesRecord;
}

export interface CountedSeries<T extends ToldSeries> {
  /** Those of which some rows count, or that say how the series is masked. In order: later ones count. */
  readonly files: ReadonlyArray<{ readonly told: T; readonly ranges: readonly RowRange[] }>;
  /** Row numbers that no shard tells of. */
  readonly missing: readonly RowRange[];
  /** Irregular: claims of which only a part would count. Their rows cannot be told from those of others, so they give nothing. */
  readonly cut: ReadonlyArray<{ readonly told: T; readonly claim: RowRange }>;
  /** Row numbers given out. */
  readonly rows: number;
}

/** Of the same commit, what a compaction made of a flush counts. */
export function inOrderOfCommits<T extends Pick<ToldSeries, 'commit' | 'level' | 'shardId'>>(files: readonly T[]): T[] {
  return [...files].sort((a, b) =>
    a.commit !== b.commit ? (a.commit < b.commit ? -1 : 1) : a.level - b.level || (a.shardId < b.shardId ? -1 : 1),
  );
}

/**
 * @param told by all files that tell of the series, in any order
 * @param isIrregular its rows are in order of time within a claim, so a claim counts as a whole or not at all
 */
export function countRowsOf<T extends ToldSeries>(told: readonly T[], isIrregular: boolean): CountedSeries<T> {
  const all = inOrderOfCommits(told);
  const files = isIrregular ? withoutCuts(all) : all;
  const cut: { told: T; claim: RowRange }[] = [];
  const counted = counts(files).map((ranges, i) => {
    if (!isIrregular) return ranges;
    return files[i].record.claims.flatMap((claim) => {
      const ours = clipRows(ranges, claim);
      if (countRows(ours) === claim.to - claim.from || ours.length === 0) return ours;
      cut.push({ told: files[i], claim });
      return [];
    });
  });
  const there = uniteRows(counted.flat(), []);
  const rows = Math.max(0, ...files.flatMap(({ record }) => record.claims.map(({ to }) => to)));
  return {
    files: files.map((each, i) => ({ told: each, ranges: counted[i] })),
    missing: rows === 0 ? [] : withoutRows([{ from: 0, to: rows }], there),
    cut,
    rows,
  };
}

/** Of each file, the rows that no later one claims. */
function counts(files: readonly ToldSeries[]): RowRange[][] {
  return files.map(({ record }, i) => {
    const later = files.slice(i + 1).flatMap((each) => each.record.claims);
    return withoutRows(record.claims, uniteRows(later, []));
  });
}

/** Files that cut a claim of an earlier one, and that the others cover wholly, go; the lowest first. */
function withoutCuts<T extends ToldSeries>(files: readonly T[]): T[] {
  if (!counts(files).some((ranges, i) => files[i].record.claims.some((claim) => isCut(clipRows(ranges, claim), claim))))
    return [...files];
  for (const [i, { record }] of files.entries()) {
    const cuts = files
      .slice(0, i)
      .some((earlier) => earlier.record.claims.some((claim) => isCut(clipRows(record.claims, claim), claim)));
    if (!cuts) continue;
    const others = files.filter((_, at) => at !== i);
    const covered = uniteRows(
      others.flatMap((other) => other.record.claims),
      [],
    );
    if (withoutRows(record.claims, covered).length === 0) return withoutCuts(others);
  }
  return [...files];
}

function isCut(part: readonly RowRange[], claim: RowRange): boolean {
  const rows = countRows(part);
  return rows > 0 && rows < claim.to - claim.from;
}

/** When the rows of a regular series were, as the files say whose rows count. Rows of which no file says it are taken to be evenly spaced. */
export function segmentsOfCounted(
  { files, rows }: Pick<CountedSeries<ToldSeries>, 'files' | 'rows'>,
  rate: Rate,
): Segment[] {
  const starts = files.flatMap(({ told: { record }, ranges }) =>
    ranges.flatMap(({ from, to }) => {
      const before = record.segments.filter(({ row }) => row <= from).at(-1);
      const inside = record.segments
        .filter(({ row }) => row > from && row < to)
        .map((start) => ({ ...start, isExact: true }));
      if (!before) return inside;
      const startNs = before.startNs + nsOfRow(rate, from - before.row);
      return [{ row: from, startNs, isExact: before.row === from }, ...inside];
    }),
  );
  starts.sort((a, b) => a.row - b.row);
  const segments: Segment[] = [];
  for (const { row, startNs, isExact } of starts) {
    const open = segments.at(-1);
    if (!open) {
      if (row > 0) segments.push({ firstRow: 0, startNs: startNs - nsOfRow(rate, row), rows: row });
      else segments.push({ firstRow: row, startNs, rows: 0 });
      if (row > 0) continue;
    } else {
      const endNs = open.startNs + nsOfRow(rate, row - open.firstRow);
      // Counted from within a segment, the time of a row is rounded once more than it was.
      const goesOn = startNs === endNs || (!isExact && startNs - endNs <= 1n && endNs - startNs <= 1n);
      if (!goesOn) segments.push({ firstRow: row, startNs, rows: 0 });
    }
  }
  return segments.map((segment, i) => ({ ...segment, rows: (segments[i + 1]?.firstRow ?? rows) - segment.firstRow }));
}

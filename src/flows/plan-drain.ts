/**
 * What one commit does to each series of a batch: the appends of a series joined, its edits one by one, all in the order in which they
 * were acknowledged. Pure.
 */
import type { EditedSeries } from '../catalog/edit-store.ts';
import type { DrainSeries } from '../catalog/drain-reader.ts';
import type { PublishedChange, PublishedMasks, PublishedSeries, PublishedWrite } from '../catalog/publish.ts';
import type { PendingWrite } from '../catalog/write-store.ts';
import { rowsOfRange, withRuns } from '../core/edited-rows.ts';
import { nsOfRow, rateHz, type Rate } from '../core/rate.ts';
import { clipRows, countRows, uniteRows, withoutRows } from '../core/row-ranges.ts';
import { extendSegments, timesOfRows, type RowRange, type Segment } from '../core/segment.ts';
import { INT64_MAX, INT64_MIN } from '../core/time.ts';
import type { CommitPart, EditChange, SeriesAppend, SeriesEdit } from '../storage/shard-commit.ts';
import { describeSeries } from './describe-series.ts';
import type { Measured } from './measure-erasure.ts';

/** What is known of a series beyond what every append needs. */
export interface EditContext {
  /** Regular series with edits in the batch. */
  readonly edited: EditedSeries | null;
  /** Of the batch's edit of an irregular series; it is the first write of its series. */
  readonly measured: Measured | null;
}

/** What one series gets in a commit. */
export interface SeriesPlan {
  readonly append: SeriesAppend | null;
  readonly edits: readonly SeriesEdit[];
  readonly published: Omit<PublishedSeries, 'chunks'>;
  readonly writes: readonly PublishedWrite[];
  /** Writes that cannot be applied, with the reason. Nothing of the plan counts then. */
  readonly refused: readonly { readonly id: string; readonly reason: string }[];
}

export function planSeries(known: DrainSeries, writes: readonly PendingWrite[], context: EditContext): SeriesPlan {
  const plan = new Plan(known, context);
  for (const write of writes) plan.add(write);
  return plan.finish();
}

class Plan {
  readonly #known: DrainSeries;
  readonly #context: EditContext;
  readonly #rate: Rate | null;
  readonly #appended: PendingWrite[] = [];
  readonly #edits: SeriesEdit[] = [];
  readonly #writes: PublishedWrite[] = [];
  readonly #changes: PublishedChange[] = [];
  readonly #refused: { id: string; reason: string }[] = [];
  readonly #masks: { removed: number; erasures: PublishedMasks['erasures'][number][] } = { removed: 0, erasures: [] };
  #holes: readonly RowRange[];
  #toRow: number;
  #firstNs: bigint | null;
  #lastNs: bigint | null;

  constructor(known: DrainSeries, context: EditContext) {
    const { series } = known;
    this.#known = known;
    this.#context = context;
    this.#rate = series.sampling.kind === 'regular' ? series.sampling.rate : null;
    this.#holes = context.edited?.holes ?? [];
    this.#toRow = series.rows;
    this.#firstNs = series.firstNs;
    this.#lastNs = series.lastNs;
  }

  add(write: PendingWrite): void {
    if (write.kind === 'append') this.#append(write, 'append');
    else if (this.#rate) this.#editRows(write, this.#rate);
    else this.#erase(write);
  }

  finish(): SeriesPlan {
    const { series } = this.#known;
    const { segments, ...times } = this.#timesAfter();
    const { edited } = this.#context;
    const isKnown = (holes: readonly RowRange[], { from, to }: RowRange): boolean =>
      holes.some((hole) => hole.from === from && hole.to === to);
    const before = edited?.holes ?? [];
    return {
      append: this.#appended.length > 0 ? this.#seriesAppend(segments) : null,
      edits: this.#edits,
      published: {
        seriesId: series.id,
        segments,
        toRow: this.#toRow,
        ...times,
        masks:
          this.#edits.length === 0
            ? null
            : {
                ...this.#masks,
                holesGone: before.filter((hole) => !isKnown(this.#holes, hole)),
                holesNew: this.#holes.filter((hole) => !isKnown(before, hole)),
              },
        changes: this.#changes,
      },
      writes: this.#writes,
      refused: this.#refused,
    };
  }

  #append(write: PendingWrite, kind: PublishedChange['kind']): void {
    const { firstNs, lastNs } = write;
    const firstRow = this.#toRow;
    this.#appended.push(write);
    this.#writes.push({ id: write.id, firstRow, removed: null });
    this.#toRow += write.rows;
    if (firstNs !== null && (this.#firstNs === null || firstNs < this.#firstNs)) this.#firstNs = firstNs;
    if (lastNs !== null && (this.#lastNs === null || lastNs > this.#lastNs)) this.#lastNs = lastNs;
    const last = this.#changes.at(-1);
    if (kind === 'append' && last?.kind === 'append') {
      this.#changes[this.#changes.length - 1] = { ...last, rows: last.rows! + write.rows };
    } else this.#changes.push({ kind, firstRow, rows: write.rows });
  }

  /** An edit of a regular series: of the rows that its range selects among all that were acknowledged before it. */
  #editRows(write: PendingWrite, rate: Rate): void {
    const { segments, expiredNs } = this.#context.edited!;
    const all = withRuns(segments, rate, this.#known.series.rows, this.#runs());
    const found = rowsOfRange(all, rate, write.rangeStartNs!, write.rangeEndNs!, expiredNs);
    // An append that was put aside since, or rows that have expired, may have left fewer rows than were acknowledged.
    const rows = found ? found.to - found.from : 0;
    if (write.kind === 'replace') {
      if (!found || rows !== write.rows) {
        const reason = `it brings ${write.rows} rows for a range that has ${rows} by now`;
        this.#refused.push({ id: write.id, reason });
        return;
      }
      this.#masks.removed -= countRows(clipRows(this.#holes, found));
      this.#holes = withoutRows(this.#holes, [found]);
      this.#edit(write, { kind: 'replace', firstRow: found.from, part: partOf(write) });
      this.#writes.push({ id: write.id, firstRow: found.from, removed: null });
      this.#changes.push({ kind: 'update', firstRow: found.from, rows });
      return;
    }
    const range = found ?? { from: this.#toRow, to: this.#toRow };
    const removed = countRows(withoutRows([range], this.#holes));
    this.#masks.removed += removed;
    if (found) this.#holes = uniteRows(this.#holes, [found]);
    this.#edit(write, { kind: 'remove', fromRow: range.from, toRow: range.to });
    this.#writes.push({ id: write.id, firstRow: null, removed });
    this.#changes.push({ kind: 'delete', firstRow: range.from, rows });
  }

  /** An edit of an irregular series: what its range holds goes, and what it brings comes as new rows. */
  #erase(write: PendingWrite): void {
    const { removed, firstNs, lastNs } = this.#context.measured!;
    const [startNs, endNs, beforeRow] = [write.rangeStartNs!, write.rangeEndNs!, this.#toRow];
    this.#masks.removed += removed;
    this.#masks.erasures.push({ generation: write.generation!, startNs, endNs, beforeRow });
    this.#firstNs = firstNs;
    this.#lastNs = lastNs;
    this.#edit(write, { kind: 'erase', startNs, endNs, beforeRow, removed });
    if (write.kind === 'replace') this.#append(write, 'update');
    else {
      this.#writes.push({ id: write.id, firstRow: null, removed });
      this.#changes.push({ kind: 'delete', firstRow: null, rows: null });
    }
  }

  #edit({ generation }: PendingWrite, change: EditChange): void {
    const { series } = this.#known;
    this.#edits.push({
      seriesId: series.id,
      dtype: series.dtype,
      channels: series.channels.length,
      irregular: this.#rate === null,
      description: describeSeries(series),
      seriesRows: series.rows,
      generation: generation!,
      change,
    });
  }

  #runs(): { startNs: bigint; rows: number }[] {
    return this.#appended.map((write) => ({ startNs: write.startNs!, rows: write.rows }));
  }

  /** New segments and the one that grew, and the first and the last time of the rows that are there. */
  #timesAfter(): Pick<PublishedSeries, 'segments' | 'firstNs' | 'lastNs'> {
    const rate = this.#rate;
    const irregular = { segments: [], firstNs: this.#firstNs, lastNs: this.#lastNs };
    if (!rate) return irregular;
    const { series, lastSegment } = this.#known;
    const segments = extendSegments(lastSegment, rate, series.rows, this.#runs());
    const { edited } = this.#context;
    if (edited) {
      const all = withRuns(edited.segments, rate, series.rows, this.#runs());
      const inTime = rowsOfRange(all, rate, INT64_MIN, INT64_MAX, edited.expiredNs);
      return { segments, ...endsOf(inTime ? withoutRows([inTime], this.#holes) : [], all, rate) };
    }
    const newest = segments.at(-1);
    if (!newest) return { ...irregular, segments };
    return {
      segments,
      // Not the segment's own start: its rows may have been removed, all of them.
      firstNs: series.firstNs ?? this.#appended[0].startNs,
      lastNs: newest.startNs + nsOfRow(rate, newest.rows - 1),
    };
  }

  #seriesAppend(segments: readonly Segment[]): SeriesAppend {
    const { series, tail } = this.#known;
    const rate = this.#rate;
    return {
      seriesId: series.id,
      dtype: series.dtype,
      channels: series.channels.length,
      irregular: rate === null,
      rateHz: rate && rateHz(rate),
      firstRow: series.rows,
      tail,
      description: describeSeries(series),
      firstRowNs: rate && this.#appended[0].startNs,
      segmentStarts: segments
        .filter((segment) => segment.firstRow >= series.rows)
        .map(({ firstRow, startNs }) => ({ row: firstRow, startNs })),
      parts: this.#appended.map(partOf),
    };
  }
}

function partOf({ id, rows, values, times, valuesCrc, timesCrc }: PendingWrite): CommitPart {
  return { writeId: id, rows, values, times, valuesCrc, timesCrc };
}

function endsOf(
  ranges: readonly RowRange[],
  segments: readonly Segment[],
  rate: Rate,
): { firstNs: bigint | null; lastNs: bigint | null } {
  if (ranges.length === 0) return { firstNs: null, lastNs: null };
  const timeOf = (row: number): bigint => timesOfRows(segments, rate, { from: row, to: row + 1 })[0];
  return { firstNs: timeOf(ranges[0].from), lastNs: timeOf(ranges.at(-1)!.to - 1) };
}

/** What edits make of the rows of a series, when nothing but the shards is left that tells of them. Pure. */
import type { Erasure } from '../core/erasure.ts';
import { countRows, uniteRows, withoutRows } from '../core/row-ranges.ts';
import type { RowRange } from '../core/segment.ts';
import type { SurveyedEdit, SurveyedSeal, SurveyedSeries } from '../storage/shard-survey.ts';
import { finding, type Finding } from './finding.ts';

/** An edit as one shard has it. */
export type FoundEdit = SurveyedEdit &
  Pick<SurveyedSeries, 'dtype' | 'channels'> & {
    readonly shardId: string;
    readonly path: string;
    /** Of the lease under which the shard was made: of two shards with the same edit, the higher is the one that was published. */
    readonly token: bigint;
  };

export interface RebuiltEdits {
  /** Number of the newest. */
  readonly edits: number;
  readonly removed: number;
  readonly holes: readonly RowRange[];
  readonly erasures: readonly Erasure[];
  readonly replacements: readonly Extract<FoundEdit, { kind: 'replace' }>[];
  /** Whatever had an effect. */
  readonly kept: readonly FoundEdit[];
}

/** Rows of a regular series that a seal knows not to be there. */
export function absentRows({ expiredRow, holes }: SurveyedSeal): RowRange[] {
  return uniteRows(expiredRow > 0 ? [{ from: 0, to: expiredRow }] : [], holes);
}

/**
 * @param base what the newest sealed shard knows; null if there is none
 * @param found in shards that were not sealed since
 * @param like the type of the series' rows, and their number
 */
export function applyEdits(
  seriesId: string,
  base: SurveyedSeal | null,
  found: readonly FoundEdit[],
  like: {
    readonly dtype: string;
    readonly channels: number;
    readonly rows: number;
    readonly irregular: boolean;
  },
  onFinding: (finding: Finding) => void,
): RebuiltEdits {
  const newest = new Map<number, FoundEdit>();
  for (const edit of found) {
    const known = newest.get(edit.generation);
    if (!known || edit.token > known.token) newest.set(edit.generation, edit);
  }
  let holes: RowRange[] = base ? absentRows(base) : [];
  let erased = like.irregular ? (base?.removed ?? 0) : 0;
  const erasures: Erasure[] = base ? [...base.erasures] : [];
  const replacements: Extract<FoundEdit, { kind: 'replace' }>[] = [];
  const kept: FoundEdit[] = [];
  for (const edit of [...newest.values()].sort((a, b) => a.generation - b.generation)) {
    const leaveOut = (why: string): void => {
      const place = { series: seriesId, shard: edit.shardId, path: edit.path };
      onFinding(finding('edit-left-out', `edit ${edit.generation} was left out: ${why}`, place));
    };
    if ((edit.kind === 'erase') !== like.irregular) {
      leaveOut('it is of the other kind of series');
      continue;
    }
    if (edit.kind === 'replace') {
      const range = { from: edit.firstRow, to: edit.firstRow + edit.rows };
      if (range.to > like.rows || edit.dtype !== like.dtype || edit.channels !== like.channels) {
        leaveOut(`rows ${range.from} to ${range.to - 1} are no rows of the series, or of another type`);
        continue;
      }
      holes = withoutRows(holes, [range]);
      replacements.push(edit);
    } else if (edit.kind === 'remove') {
      const to = Math.min(edit.toRow, like.rows);
      if (edit.fromRow < to) holes = uniteRows(holes, [{ from: edit.fromRow, to }]);
    } else {
      const { generation, startNs, endNs, beforeRow, removed } = edit;
      erasures.push({ generation, startNs, endNs, beforeRow });
      erased += removed;
    }
    kept.push(edit);
  }
  const edits = Math.max(base?.generation ?? 0, ...erasures.map(({ generation }) => generation), ...newest.keys());
  return {
    edits,
    removed: countRows(holes) + erased,
    holes,
    erasures,
    replacements,
    kept,
  };
}
